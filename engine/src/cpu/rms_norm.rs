//! RMSNorm (arXiv:1910.07467): `normed[i] = x[i] * r * weight[i]` with `r = (mean(x^2) + eps)^-1/2`, row by row.
//!
//! Backward reads the input again instead of saved statistics: the row is in the first cache anyway.

use rayon::prelude::*;

use super::simd::{dot, dot_of_three, mul_add, vectorised};
use crate::isa::Isa;

/// Rows one task works on. Fixed, because backward sums the weight's gradient per block and then over blocks in order.
pub(crate) const BLOCK_ROWS: usize = 32;

/// What a norm holds.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// `[width]`.
    pub weight: &'a [f32],
    pub eps: f32,
}

/// Writes the normed rows of `input`; both are `[rows, width]`.
pub(crate) fn forward(isa: Isa, input: &[f32], norm: Norm<'_>, normed: &mut [f32]) {
    assert_eq!(input.len(), normed.len(), "shapes agree");
    let block = BLOCK_ROWS * norm.weight.len();
    normed
        .par_chunks_mut(block)
        .zip(input.par_chunks(block))
        .for_each(|(normed, input)| forward_block(isa, input, norm, normed));
}

/// Elements of `partial` that [`backward`] needs for `rows` rows.
pub(crate) fn partial_len(rows: usize, width: usize) -> usize {
    rows.div_ceil(BLOCK_ROWS) * width
}

/// What [`backward`] adds to.
pub(crate) struct Sums<'a> {
    /// Gradient of the input, `[rows, width]`: that of the residual stream, which the norm's is added to.
    pub d_input: &'a mut [f32],
    /// Gradient of the weight, `[width]`.
    pub d_weight: &'a mut [f32],
    /// Scratch of [`partial_len`] elements.
    pub partial: &'a mut [f32],
}

/// Adds both gradients for `d_normed`, the gradient of the normed rows.
pub(crate) fn backward(isa: Isa, input: &[f32], norm: Norm<'_>, d_normed: &[f32], sums: Sums<'_>) {
    let (width, block) = (norm.weight.len(), BLOCK_ROWS * norm.weight.len());
    let partial = &mut sums.partial[..partial_len(input.len() / width, width)];
    sums.d_input
        .par_chunks_mut(block)
        .zip(partial.par_chunks_mut(width))
        .zip(input.par_chunks(block).zip(d_normed.par_chunks(block)))
        .for_each(|((d_input, partial), (input, d_normed))| {
            backward_block(isa, input, norm, d_normed, d_input, partial);
        });
    for partial in partial.chunks_exact(width) {
        sums.d_weight.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
    }
}

vectorised! {
    fn forward_block(input: &[f32], norm: Norm<'_>, normed: &mut [f32]) {
        let Norm { weight, eps } = norm;
        let width = weight.len();
        for (x, out) in input.chunks_exact(width).zip(normed.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        }
    }
}

vectorised! {
    fn backward_block(input: &[f32], norm: Norm<'_>, d_normed: &[f32], d_input: &mut [f32], d_weight: &mut [f32]) {
        let Norm { weight, eps } = norm;
        let width = weight.len();
        d_weight.fill(0.0);
        let rows = input.chunks_exact(width).zip(d_normed.chunks_exact(width)).zip(d_input.chunks_exact_mut(width));
        for ((x, dy), dx) in rows {
            let scale = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            for ((sum, dy), x) in d_weight.iter_mut().zip(dy).zip(x) {
                *sum = mul_add::<FMA>(dy * scale, *x, *sum);
            }
            let products = dot_of_three::<FMA>(dy, weight, x);
            let along = products * scale * scale * scale / width as f32;
            for (((dx, dy), x), weight) in dx.iter_mut().zip(dy).zip(x).zip(weight) {
                *dx += mul_add::<FMA>(dy * weight, scale, -x * along);
            }
        }
    }
}
