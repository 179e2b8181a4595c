//! Products of small matrices on one thread, the inside of tiled attention.
//!
//! The right matrix and the result are dense and row-major; the left one may be read transposed, since its elements are
//! broadcast. Each element is summed over `k` in order, so its bits depend on nothing else in the matrices.

use super::simd::{mul_add, vectorised};
use crate::isa::{Isa, Level};

/// The left matrix: element (i, k) is `values[i * row + k * column]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

/// Sizes of `[m, k] x [k, n]`.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// Writes `out[m, n] = left x right`.
pub(super) fn multiply(isa: Isa, out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
    run::<false>(isa, out, left, right, sizes);
}

/// Adds `left x right` to `out[m, n]`.
pub(super) fn multiply_add(isa: Isa, out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
    run::<true>(isa, out, left, right, sizes);
}

fn run<const ADD: bool>(isa: Isa, out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
    let Sizes { m, n, k } = sizes;
    assert!(m > 0 && n > 0 && k > 0, "no size is zero");
    assert!(out.len() >= m * n && right.len() >= k * n, "matrices hold what the sizes say");
    assert!(left.values.len() > (m - 1) * left.row + (k - 1) * left.column, "the left matrix too");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has AVX-512, and by the assertions every element lies inside its slice.
        Level::Avx512 | Level::Avx512Vnni => unsafe { avx512::run::<ADD>(out, left, right, sizes) },
        _ => by_rows(isa, out, left, right, sizes, ADD),
    }
}

vectorised! {
    /// Row by row, with the loop over columns inside, which every compiler vectorises.
    fn by_rows(out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes, add: bool) {
        for (i, out) in out.chunks_exact_mut(sizes.n).take(sizes.m).enumerate() {
            if !add {
                out.fill(0.0);
            }
            for (depth, right) in right.chunks_exact(sizes.n).take(sizes.k).enumerate() {
                let factor = left.values[i * left.row + depth * left.column];
                out.iter_mut().zip(right).for_each(|(out, right)| *out = mul_add::<FMA>(factor, *right, *out));
            }
        }
    }
}

/// Blocks of 8 x 32: 16 sums in registers keep both multiply-add units busy, and every tile edge divides by 8 and 32.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __mmask16, _mm512_fmadd_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps,
    };

    use super::{Left, Sizes};

    const ROWS: usize = 8;
    const COLUMNS: usize = 32;

    /// # Safety
    /// The machine has AVX-512, and all matrices hold what `sizes` and the strides reach.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run<const ADD: bool>(out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
        for column in (0..sizes.n).step_by(COLUMNS) {
            let masks = masks(sizes.n - column);
            for row in (0..sizes.m).step_by(ROWS) {
                let at = At { row, column, masks };
                // SAFETY: the rows and columns exist, and the masks leave out columns beyond the last.
                unsafe {
                    match sizes.m - row {
                        1 => block::<ADD, 1>(out, left, right, sizes, at),
                        2 => block::<ADD, 2>(out, left, right, sizes, at),
                        3 => block::<ADD, 3>(out, left, right, sizes, at),
                        4 => block::<ADD, 4>(out, left, right, sizes, at),
                        5 => block::<ADD, 5>(out, left, right, sizes, at),
                        6 => block::<ADD, 6>(out, left, right, sizes, at),
                        7 => block::<ADD, 7>(out, left, right, sizes, at),
                        _ => block::<ADD, ROWS>(out, left, right, sizes, at),
                    }
                }
            }
        }
    }

    /// Lanes of two registers that hold some of `columns` columns.
    fn masks(columns: usize) -> [__mmask16; 2] {
        let lanes = |columns: usize| if columns >= 16 { u16::MAX } else { (1u16 << columns) - 1 };
        [lanes(columns), lanes(columns.saturating_sub(16))]
    }

    #[derive(Clone, Copy)]
    struct At {
        row: usize,
        column: usize,
        masks: [__mmask16; 2],
    }

    /// # Safety
    /// As [`run`]; rows `at.row..at.row + R` and the columns of the masks exist.
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const ADD: bool, const R: usize>(
        out: &mut [f32],
        left: Left<'_>,
        right: &[f32],
        sizes: Sizes,
        at: At,
    ) {
        let [first, second] = at.masks;
        // SAFETY: masked lanes are not touched, all others exist.
        unsafe {
            let out = out.as_mut_ptr().add(at.row * sizes.n + at.column);
            let left_rows = left.values.as_ptr().add(at.row * left.row);
            let right = right.as_ptr().add(at.column);
            let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
            if ADD {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let out = out.add(row * sizes.n);
                    *sums = [_mm512_maskz_loadu_ps(first, out), _mm512_maskz_loadu_ps(second, out.wrapping_add(16))];
                }
            }
            for depth in 0..sizes.k {
                let right = right.add(depth * sizes.n);
                let columns =
                    [_mm512_maskz_loadu_ps(first, right), _mm512_maskz_loadu_ps(second, right.wrapping_add(16))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let factor = _mm512_set1_ps(*left_rows.add(row * left.row + depth * left.column));
                    *sums =
                        [_mm512_fmadd_ps(factor, columns[0], sums[0]), _mm512_fmadd_ps(factor, columns[1], sums[1])];
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let out = out.add(row * sizes.n);
                _mm512_mask_storeu_ps(out, first, sums[0]);
                _mm512_mask_storeu_ps(out.wrapping_add(16), second, sums[1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::noise;

    #[test]
    fn every_shape_gives_the_sums_of_the_formula() {
        for (m, n, k) in [(1, 1, 1), (8, 32, 5), (7, 31, 3), (13, 33, 64), (64, 64, 64), (70, 6, 2), (5, 100, 9)] {
            for transposed in [false, true] {
                let (values, right, start) = (noise(1, m * k), noise(2, k * n), noise(3, m * n));
                let (row, column) = if transposed { (1, m) } else { (k, 1) };
                let left = Left { values: &values, row, column };
                for isa in Isa::available() {
                    let (mut written, mut added) = (vec![f32::NAN; m * n], start.clone());
                    multiply(isa, &mut written, left, &right, Sizes { m, n, k });
                    multiply_add(isa, &mut added, left, &right, Sizes { m, n, k });
                    for at in 0..m * n {
                        let term = |depth| {
                            let left = f64::from(values[at / n * row + depth * column]);
                            left * f64::from(right[depth * n + at % n])
                        };
                        let want: f64 = (0..k).map(term).sum();
                        for (have, base) in [(written[at], 0.0), (added[at], start[at])] {
                            let error = (f64::from(have) - f64::from(base) - want).abs();
                            assert!(error < 1e-5, "{isa}: {m} x {n} x {k} at {at}: {have} is off by {error:.1e}");
                        }
                    }
                }
            }
        }
    }
}
