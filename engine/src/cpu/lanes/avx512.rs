//! Lanes as one AVX-512 register.
//!
//! Values of this type are made only inside `run_avx512`, which an `Isa` guards: that is why calling the
//! instructions is sound everywhere in this file.

use std::arch::x86_64::*;

use super::{LANES, Lanes};

/// Sixteen f32 in a register.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// Calls instructions whose features an `Isa` vouches for; see the top of the file.
macro_rules! detected {
    ($instructions:expr) => {{
        // SAFETY: reached only through `run_avx512`, after the features were detected; loads and stores are unaligned
        // ones of whole arrays behind references.
        unsafe { $instructions }
    }};
}

impl Lanes for Avx512 {
    type Ints = __m512i;
    type Bytes = __m512i;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(detected!(_mm512_set1_ps(value)))
    }
    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(detected!(_mm512_loadu_ps(values.as_ptr())))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8; 2 * LANES]) -> Self {
        Self(detected!(_mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8; 2 * LANES]) -> Self {
        Self(detected!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }))
    }
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        detected!(_mm512_storeu_ps(out.as_mut_ptr(), self.0));
        out
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(detected!(_mm512_add_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(detected!(_mm512_sub_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(detected!(_mm512_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(detected!(_mm512_div_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(detected!(_mm512_fmadd_ps(self.0, factor.0, addend.0)))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(detected!(_mm512_min_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(detected!(_mm512_max_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(detected!(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self(detected!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)))
    }
    #[inline(always)]
    fn scale(self, power: Self) -> Self {
        Self(detected!(_mm512_scalef_ps(self.0, power.0)))
    }
    #[inline(always)]
    fn where_at_least(self, value: Self, bound: f32) -> Self {
        Self(detected!({
            let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(value.0, _mm512_set1_ps(bound));
            _mm512_maskz_mov_ps(mask, self.0)
        }))
    }
    #[inline(always)]
    fn to_byte_pairs(self) -> ([i8; LANES], [i8; LANES], i32) {
        let (mut high, mut low) = ([0; LANES], [0; LANES]);
        let sum = detected!({
            let ints = _mm512_cvtps_epi32(self.0);
            let upper = _mm512_srai_epi32::<8>(_mm512_add_epi32(ints, _mm512_set1_epi32(128)));
            let lower = _mm512_sub_epi32(ints, _mm512_slli_epi32::<8>(upper));
            _mm_storeu_si128(high.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(upper));
            _mm_storeu_si128(low.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(lower));
            _mm512_reduce_add_epi32(ints)
        });
        (high, low, sum)
    }
    #[inline(always)]
    fn ints(value: i32) -> Self::Ints {
        detected!(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    fn to_floats(ints: Self::Ints) -> Self {
        Self(detected!(_mm512_cvtepi32_ps(ints)))
    }
    #[inline(always)]
    fn join_bytes(high: Self::Ints, low: Self::Ints) -> Self::Ints {
        detected!(_mm512_add_epi32(_mm512_slli_epi32::<8>(high), low))
    }
    #[inline(always)]
    fn bytes(bytes: &[u8; 4 * LANES]) -> Self::Bytes {
        detected!(_mm512_loadu_si512(bytes.as_ptr().cast()))
    }
    #[inline(always)]
    fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        detected!(_mm512_and_si512(bytes, _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        detected!(_mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn dot(sums: Self::Ints, unsigned: Self::Bytes, signed: [i8; 4]) -> Self::Ints {
        let four = i32::from_le_bytes(signed.map(|byte| byte as u8));
        detected!(_mm512_dpbusd_epi32(sums, unsigned, _mm512_set1_epi32(four)))
    }
}
