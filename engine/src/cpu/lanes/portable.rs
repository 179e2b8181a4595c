//! Lanes as an array, for processors without AVX-512 and as the definition that the registers must equal.

use half::{bf16, f16};

use super::{LANES, Lanes};

/// Sixteen f32 in an array.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn map(self, change: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(change))
    }

    #[inline(always)]
    fn zip(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| combine(self.0[lane], other.0[lane])))
    }
}

#[inline(always)]
fn pair(bytes: &[u8; 2 * LANES], lane: usize) -> [u8; 2] {
    [bytes[2 * lane], bytes[2 * lane + 1]]
}

/// Adding this leaves the integer nearest to a small number in the low bits of the sum.
const ROUNDING: f32 = 12_582_912.0;

impl Lanes for Portable {
    type Ints = [i32; LANES];
    type Bytes = [u8; 4 * LANES];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(*values)
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 2 * LANES]) -> Self {
        Self(std::array::from_fn(|lane| f16::from_le_bytes(pair(bytes, lane)).to_f32()))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 2 * LANES]) -> Self {
        Self(std::array::from_fn(|lane| bf16::from_le_bytes(pair(bytes, lane)).to_f32()))
    }
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        self.0
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], addend.0[lane])))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(f32::abs)
    }
    #[inline(always)]
    fn round(self) -> Self {
        self.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn scale(self, power: Self) -> Self {
        self.zip(power, |value, power| value * f32::from_bits(((power as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn where_at_least(self, value: Self, bound: f32) -> Self {
        self.zip(value, |lane, value| if value >= bound { lane } else { 0.0 })
    }
    #[inline(always)]
    fn to_byte_pairs(self) -> ([i8; LANES], [i8; LANES], i32) {
        let ints = self.0.map(|lane| (lane + ROUNDING).to_bits() as i32 - ROUNDING.to_bits() as i32);
        let high = ints.map(|int| (int + 128) >> 8);
        let low = std::array::from_fn(|lane| (ints[lane] - 256 * high[lane]) as i8);
        (high.map(|high| high as i8), low, ints.iter().sum())
    }
    #[inline(always)]
    fn ints(value: i32) -> Self::Ints {
        [value; LANES]
    }
    #[inline(always)]
    fn to_floats(ints: Self::Ints) -> Self {
        Self(ints.map(|int| int as f32))
    }
    #[inline(always)]
    fn join_bytes(high: Self::Ints, low: Self::Ints) -> Self::Ints {
        std::array::from_fn(|lane| 256 * high[lane] + low[lane])
    }
    #[inline(always)]
    fn bytes(bytes: &[u8; 4 * LANES]) -> Self::Bytes {
        *bytes
    }
    #[inline(always)]
    fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte & 15)
    }
    #[inline(always)]
    fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte >> 4)
    }
    #[inline(always)]
    fn dot(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints {
        std::array::from_fn(|lane| {
            let products = (0..4).map(|k| i32::from(unsigned[4 * lane + k]) * i32::from(signed[k]));
            sums[lane] + products.sum::<i32>()
        })
    }
}
