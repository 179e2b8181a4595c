//! Products of small matrices on one thread, the inside of tiled attention.
//!
//! The right matrix and the result are row-major; the left one may be read transposed, since its elements are broadcast.

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

/// Writes `out[m, n] = left x right`; `right` and `out` are dense.
pub(super) fn multiply(out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
    run(out, left, right, sizes, false);
}

/// Adds `left x right` to `out[m, n]`.
pub(super) fn multiply_add(out: &mut [f32], left: Left<'_>, right: &[f32], sizes: Sizes) {
    run(out, left, right, sizes, true);
}

fn run(out: &mut [f32], left: Left<'_>, right: &[f32], Sizes { m, n, k }: Sizes, add: bool) {
    assert!(m > 0 && n > 0 && k > 0, "no size is zero");
    assert!(out.len() >= m * n && right.len() >= k * n, "matrices hold what the sizes say");
    assert!(left.values.len() > (m - 1) * left.row + (k - 1) * left.column, "the left matrix too");
    // SAFETY: every element the sizes and strides reach lies inside its slice, by the assertions above; `out` is borrowed
    // mutably and so overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            left.values.as_ptr(),
            left.column as isize,
            left.row as isize,
            right.as_ptr(),
            1,
            n as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
