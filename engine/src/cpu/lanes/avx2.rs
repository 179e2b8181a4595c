//! Lanes as two AVX2 registers, with FMA and F16C.
//!
//! Values of this type are made only inside `run_avx2`, which an `Isa` guards: that is why calling the instructions
//! is sound everywhere in this file.

use std::arch::x86_64::*;

use super::{LANES, Lanes};

/// Sixteen f32, eight in each register.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// Calls instructions whose features an `Isa` vouches for; see the top of the file.
macro_rules! detected {
    ($instructions:expr) => {{
        // SAFETY: reached only through `run_avx2`, after the features were detected; loads and stores are unaligned ones
        // that stay inside whole arrays behind references.
        unsafe { $instructions }
    }};
}

/// The same instruction on both halves of two or three vectors.
macro_rules! both {
    ($instruction:ident, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        Self(detected!($instruction(a.0, b.0)), detected!($instruction(a.1, b.1)))
    }};
    ($instruction:ident, $a:expr, $b:expr, $c:expr) => {{
        let (a, b, c) = ($a, $b, $c);
        Self(detected!($instruction(a.0, b.0, c.0)), detected!($instruction(a.1, b.1, c.1)))
    }};
}

impl Avx2 {
    #[inline(always)]
    fn halves(bytes: &[u8; 2 * LANES]) -> [__m128i; 2] {
        detected!([_mm_loadu_si128(bytes.as_ptr().cast()), _mm_loadu_si128(bytes[LANES..].as_ptr().cast())])
    }

    #[inline(always)]
    fn power_of_two(power: __m256) -> __m256 {
        detected!({
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }

    /// Adds the products of four unsigned bytes, none above 127, with four signed ones to each lane: pairs then fit 16
    /// bits, and nothing saturates.
    #[inline(always)]
    fn add_products(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        detected!({
            let pairs = _mm256_maddubs_epi16(unsigned, signed);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
}

impl Lanes for Avx2 {
    type Ints = [__m256i; 2];
    type Bytes = [__m256i; 2];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = detected!(_mm256_set1_ps(value));
        Self(half, half)
    }
    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(detected!(_mm256_loadu_ps(values.as_ptr())), detected!(_mm256_loadu_ps(values[LANES / 2..].as_ptr())))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 2 * LANES]) -> Self {
        let [low, high] = Self::halves(bytes);
        Self(detected!(_mm256_cvtph_ps(low)), detected!(_mm256_cvtph_ps(high)))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 2 * LANES]) -> Self {
        let [low, high] = Self::halves(bytes);
        Self(
            detected!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(low)))),
            detected!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(high)))),
        )
    }
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        detected!({
            _mm256_storeu_ps(out.as_mut_ptr(), self.0);
            _mm256_storeu_ps(out[LANES / 2..].as_mut_ptr(), self.1);
        });
        out
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        both!(_mm256_add_ps, self, other)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        both!(_mm256_sub_ps, self, other)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        both!(_mm256_mul_ps, self, other)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        both!(_mm256_div_ps, self, other)
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        both!(_mm256_fmadd_ps, self, factor, addend)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        both!(_mm256_min_ps, self, other)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        both!(_mm256_max_ps, self, other)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        both!(_mm256_andnot_ps, Self::splat(-0.0), self)
    }
    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        Self(detected!(_mm256_round_ps::<NEAREST>(self.0)), detected!(_mm256_round_ps::<NEAREST>(self.1)))
    }
    #[inline(always)]
    fn scale(self, power: Self) -> Self {
        both!(_mm256_mul_ps, self, Self(Self::power_of_two(power.0), Self::power_of_two(power.1)))
    }
    #[inline(always)]
    fn where_at_least(self, value: Self, bound: f32) -> Self {
        let bound = Self::splat(bound);
        Self(
            detected!(_mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GE_OQ>(value.0, bound.0))),
            detected!(_mm256_and_ps(self.1, _mm256_cmp_ps::<_CMP_GE_OQ>(value.1, bound.1))),
        )
    }
    #[inline(always)]
    fn to_byte_pairs(self) -> ([i8; LANES], [i8; LANES], i32) {
        let mut ints = [0i32; LANES];
        detected!({
            _mm256_storeu_si256(ints.as_mut_ptr().cast(), _mm256_cvtps_epi32(self.0));
            _mm256_storeu_si256(ints[LANES / 2..].as_mut_ptr().cast(), _mm256_cvtps_epi32(self.1));
        });
        let (mut high, mut low, mut sum) = ([0; LANES], [0; LANES], 0);
        for lane in 0..LANES {
            let upper = (ints[lane] + 128) >> 8;
            high[lane] = upper as i8;
            low[lane] = (ints[lane] - 256 * upper) as i8;
            sum += ints[lane];
        }
        (high, low, sum)
    }
    #[inline(always)]
    fn ints(value: i32) -> Self::Ints {
        [detected!(_mm256_set1_epi32(value)); 2]
    }
    #[inline(always)]
    fn to_floats(ints: Self::Ints) -> Self {
        Self(detected!(_mm256_cvtepi32_ps(ints[0])), detected!(_mm256_cvtepi32_ps(ints[1])))
    }
    #[inline(always)]
    fn join_bytes(high: Self::Ints, low: Self::Ints) -> Self::Ints {
        [
            detected!(_mm256_add_epi32(_mm256_slli_epi32::<8>(high[0]), low[0])),
            detected!(_mm256_add_epi32(_mm256_slli_epi32::<8>(high[1]), low[1])),
        ]
    }
    #[inline(always)]
    fn bytes(bytes: &[u8; 4 * LANES]) -> Self::Bytes {
        detected!([_mm256_loadu_si256(bytes.as_ptr().cast()), _mm256_loadu_si256(bytes[2 * LANES..].as_ptr().cast())])
    }
    #[inline(always)]
    fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        let mask = detected!(_mm256_set1_epi8(15));
        [detected!(_mm256_and_si256(bytes[0], mask)), detected!(_mm256_and_si256(bytes[1], mask))]
    }
    #[inline(always)]
    fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        let mask = detected!(_mm256_set1_epi8(15));
        [
            detected!(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes[0]), mask)),
            detected!(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes[1]), mask)),
        ]
    }
    /// By nibbles, since pairs of products of whole bytes do not fit 16 bits.
    #[inline(always)]
    fn dot(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints {
        let low = Self::dot_nibbles(sums, Self::low_nibbles(unsigned), signed);
        let high = Self::dot_nibbles(Self::ints(0), Self::high_nibbles(unsigned), signed);
        [
            detected!(_mm256_add_epi32(low[0], _mm256_slli_epi32::<4>(high[0]))),
            detected!(_mm256_add_epi32(low[1], _mm256_slli_epi32::<4>(high[1]))),
        ]
    }
    #[inline(always)]
    fn dot_nibbles(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints {
        let signed = detected!(_mm256_set1_epi32(i32::from_le_bytes(signed.map(|byte| byte as u8))));
        [Self::add_products(sums[0], unsigned[0], signed), Self::add_products(sums[1], unsigned[1], signed)]
    }
}
