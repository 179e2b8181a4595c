//! Sixteen f32 lanes: the vector that serving's kernels are written in, once, for every instruction set.
//!
//! Owns the trait and its implementations (portable arrays, AVX2, AVX-512). Every
//! operation is exact or correctly rounded, so all give the same bits. Never knows what is computed.
//!
//! Kernels are loops and `#[inline(always)]` functions. They hand no closure that computes on lanes to anybody: what is
//! not inlined into `run_avx512` is compiled without its instructions, and each of them becomes a call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;

use half::{bf16, f16};

use portable::Portable;

use crate::isa::{Isa, Level};

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// A computation over lanes of any implementation. `run` must be `#[inline(always)]`: only then is it compiled with the
/// instructions of its caller.
pub(crate) trait Kernel {
    fn run<L: Lanes>(self);
}

impl Isa {
    /// Runs `kernel` with this instruction set.
    #[inline]
    pub(crate) fn run(self, kernel: impl Kernel) {
        match self.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` says that the machine has the features.
            Level::Avx512Vnni => unsafe { run_avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 | Level::Avx2 => unsafe { run_avx2(kernel) },
            _ => kernel.run::<Portable>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn run_avx2(kernel: impl Kernel) {
    kernel.run::<avx2::Avx2>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn run_avx512(kernel: impl Kernel) {
    kernel.run::<avx512::Avx512>();
}

/// A stored number that widens to f32.
pub(crate) trait Element: bytemuck::Pod + Send + Sync {
    fn narrow(value: f32) -> Self;
    fn widen<L: Lanes>(values: &[Self; LANES]) -> L;
}

impl Element for f32 {
    fn narrow(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn widen<L: Lanes>(values: &[Self; LANES]) -> L {
        L::load(values)
    }
}

impl Element for f16 {
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
    #[inline(always)]
    fn widen<L: Lanes>(values: &[Self; LANES]) -> L {
        L::load_f16(bytemuck::cast_ref(values))
    }
}

impl Element for bf16 {
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
    #[inline(always)]
    fn widen<L: Lanes>(values: &[Self; LANES]) -> L {
        L::load_bf16(bytemuck::cast_ref(values))
    }
}

/// Sixteen f32 and what the kernels do with them.
pub(crate) trait Lanes: Copy {
    /// Sixteen i32.
    type Ints: Copy;
    /// 64 bytes, four to a lane.
    type Bytes: Copy;

    fn splat(value: f32) -> Self;
    fn load(values: &[f32; LANES]) -> Self;
    /// Widens little-endian f16.
    fn load_f16(bytes: &[u8; 2 * LANES]) -> Self;
    /// Widens little-endian bf16.
    fn load_bf16(bytes: &[u8; 2 * LANES]) -> Self;
    fn to_array(self) -> [f32; LANES];

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * factor + addend` with one rounding.
    fn fma(self, factor: Self, addend: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn abs(self) -> Self;
    /// To the nearest integer, ties to even.
    fn round(self) -> Self;
    /// `self * 2^power` for whole powers from -126 to 127.
    fn scale(self, power: Self) -> Self;
    /// The lanes where `value >= bound`, zero elsewhere.
    fn where_at_least(self, value: Self, bound: f32) -> Self;

    /// Rounds lanes of at most 32512 in magnitude to integers `256 * high + low`, ties to even, and sums the integers.
    fn to_byte_pairs(self) -> ([i8; LANES], [i8; LANES], i32);

    fn ints(value: i32) -> Self::Ints;
    fn to_floats(ints: Self::Ints) -> Self;
    /// `256 * high + low`.
    fn join_bytes(high: Self::Ints, low: Self::Ints) -> Self::Ints;
    fn bytes(bytes: &[u8; 4 * LANES]) -> Self::Bytes;
    /// The low four bits of every byte.
    fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes;
    /// The high four bits of every byte, shifted down.
    fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes;
    /// Adds to each lane the product of its four unsigned bytes with the same four signed ones.
    fn dot(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints;
    /// The same for unsigned bytes of at most 15, which some instruction sets multiply faster.
    #[inline(always)]
    fn dot_nibbles(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints {
        Self::dot(sums, unsigned, signed)
    }

    /// Largest lane.
    #[inline(always)]
    fn reduce_max(self) -> f32 {
        fold(self.to_array(), |a, b| if a > b { a } else { b })
    }

    /// Sum of the lanes, halves onto halves.
    #[inline(always)]
    fn reduce_sum(self) -> f32 {
        fold(self.to_array(), |a, b| a + b)
    }
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// `e^x`: within two units of the last place, exactly zero below -87 and `e^88` above 88.
///
/// Cody and Waite's reduction (1980) to `2^n * e^r` with `|r| <= ln 2 / 2`, then a polynomial of degree six (the
/// coefficients are Cephes' `expf`, Moshier 1989).
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L) -> L {
    const SMALLEST: f32 = -87.0;
    const LARGEST: f32 = 88.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(L::splat(SMALLEST)).min(L::splat(LARGEST));
    let power = clamped.mul(L::splat(std::f32::consts::LOG2_E)).round();
    let r = power.fma(L::splat(-LN2_HIGH), clamped);
    let r = power.fma(L::splat(-LN2_LOW), r);
    let mut sum = L::splat(1.987_569_2e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        sum = sum.fma(r, L::splat(coefficient));
    }
    let sum = sum.fma(r.mul(r), r).add(L::splat(1.0));
    sum.scale(power).where_at_least(x, SMALLEST)
}
