//! Vector loops, compiled for each instruction set.
//!
//! Owns the functions that loops share (`exp`, fused multiply-add, sums). The binary is compiled for plain x86-64;
//! [`vectorised`] compiles a loop again for AVX2 and AVX-512, and its caller's [`Isa`](crate::isa::Isa) picks.

/// Defines a function whose body is compiled for each instruction set; its first argument says which one runs. In the body
/// `FMA` says whether fused multiply-add is one instruction; hand it on to [`mul_add`] and [`exp`].
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            match isa.level() {
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx512 | $crate::isa::Level::Avx512Vnni => {
                    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                    fn avx512($($arg: $ty),*) $(-> $ret)? {
                        body::<true>($($arg),*)
                    }
                    // SAFETY: an `Isa` says that the machine has every feature that the function is compiled for.
                    unsafe { avx512($($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx2 => {
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2($($arg: $ty),*) $(-> $ret)? {
                        body::<true>($($arg),*)
                    }
                    // SAFETY: as above.
                    unsafe { avx2($($arg),*) }
                }
                _ => body::<{ cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}
pub(super) use vectorised;

/// Independent sums of a reduction: the f32 lanes of one AVX-512 register, whatever the machine.
pub(super) const LANES: usize = 16;

/// `a * b + c`, fused where that is one instruction (`f32::mul_add` is a slow library call elsewhere).
#[inline(always)]
pub(super) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` within 2 units in the last place. Saturates at the ends of the normal range instead of giving 0 or infinity; NaN
/// stays NaN.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const SMALLEST: f32 = -87.336_54;
    const LARGEST: f32 = 88.722_83;
    // Adding and subtracting it rounds to an integer, which then sits in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has so few bits that its product with the integer is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons in this direction keep NaN.
    let x = if x < SMALLEST { SMALLEST } else { x };
    let x = if x > LARGEST { LARGEST } else { x };
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER);
    let integer = shifted - ROUNDER;
    let r = mul_add::<FMA>(integer, -LN_2_LOW, mul_add::<FMA>(integer, -LN_2_HIGH, x));
    // Taylor's series; the first term left out is below 6e-9 for |r| <= ln(2) / 2.
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = mul_add::<FMA>(series, r, coefficient);
    }
    // Multiplies by 2^integer: adds it to the exponent's bits.
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Adds lanes in a fixed order, halves first.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for index in 0..half {
            lanes[index] += lanes[index + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Dot product in a fixed order: [`LANES`] independent sums, so that the loop vectorises.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let tail = rest.fold(0.0, |sum, (a, b)| mul_add::<FMA>(*a, *b, sum));
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = mul_add::<FMA>(a[lane], b[lane], lanes[lane]);
        }
    }
    sum_lanes(lanes) + tail
}

/// `sum(a[i] * b[i] * c[i])` in the order of [`dot`].
#[inline(always)]
pub(super) fn dot_of_three<const FMA: bool>(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks, c_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES), c.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder()).zip(c_chunks.remainder());
    let tail = rest.fold(0.0, |sum, ((a, b), c)| mul_add::<FMA>(a * b, *c, sum));
    for ((a, b), c) in a_chunks.zip(b_chunks).zip(c_chunks) {
        for lane in 0..LANES {
            lanes[lane] = mul_add::<FMA>(a[lane] * b[lane], c[lane], lanes[lane]);
        }
    }
    sum_lanes(lanes) + tail
}

/// Largest element, at least `start`.
#[inline(always)]
pub(super) fn largest(values: &[f32], start: f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder().iter().fold(start, |most, value| if *value > most { *value } else { most });
    for chunk in chunks {
        for (most, value) in lanes.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    lanes.iter().fold(tail, |most, value| if *value > most { *value } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    vectorised! {
        fn exp_all(values: &mut [f32]) {
            values.iter_mut().for_each(|value| *value = exp::<FMA>(*value));
        }
    }

    fn units_apart(have: f32, want: f64) -> f64 {
        (f64::from(have) - want).abs() / (f64::from(f32::EPSILON) / 2.0 * want)
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place_or_three_without_fma() {
        let inputs: Vec<f32> = (0..400_000).map(|index| -87.0 + index as f32 * 4.35e-4).collect();
        for isa in Isa::available() {
            // Without fused multiply-add the reduction of the argument rounds once more.
            let units = if isa == Isa::PORTABLE { 3.0 } else { 2.0 };
            let mut outputs = inputs.clone();
            exp_all(isa, &mut outputs);
            for (input, output) in inputs.iter().zip(outputs) {
                let want = f64::from(*input).exp();
                assert!(units_apart(output, want) < units, "{isa}: exp({input}) = {output}, not {want}");
            }
        }
    }

    #[test]
    fn exp_saturates_and_keeps_nan() {
        for isa in Isa::available() {
            let mut values = [f32::NEG_INFINITY, -1000.0, f32::INFINITY, f32::NAN, 0.0];
            exp_all(isa, &mut values);
            assert!(values[0] > 0.0 && values[0] < 1.2e-38 && values[0] == values[1], "{isa}: {values:?}");
            assert!(values[2].is_finite() && values[2] > 3.0e38, "{isa}: {values:?}");
            assert!(values[3].is_nan(), "{isa}: {values:?}");
            assert_eq!(values[4], 1.0, "{isa}");
        }
    }
}
