//! A linear layer without bias: `output[n, o] = sum_i input[n, i] * weight[o, i]`, and its two gradients.
//!
//! Owns the shapes of the products. `gemm`'s kernels sum each output over `inputs` (or rows) in an order that depends on
//! the shape alone, so the number of threads changes no bit. All matrices are dense and row-major.

use rayon::prelude::*;

use super::gemm::{Matrix, Product};
use crate::isa::Isa;

/// Elements one task copies: 64 KiB, so that a task outweighs its start.
const COPY_BLOCK: usize = 16_384;

/// Writes `output = input x weight^T`: `[rows, inputs]`, `[outputs, inputs]` to `[rows, outputs]`.
pub(crate) fn forward(isa: Isa, input: &[f32], weight: &[f32], output: &mut [f32], inputs: usize) {
    product(isa, (input, weight), output, inputs, Target::Write);
}

/// As [`forward`], plus `base`, the residual stream: `output = base + input x weight^T`.
pub(crate) fn forward_onto(isa: Isa, base: &[f32], input: &[f32], weight: &[f32], output: &mut [f32], inputs: usize) {
    assert_eq!(base.len(), output.len(), "shapes agree");
    output.par_chunks_mut(COPY_BLOCK).zip(base.par_chunks(COPY_BLOCK)).for_each(|(output, base)| {
        output.copy_from_slice(base);
    });
    product(isa, (input, weight), output, inputs, Target::Add);
}

/// Writes `d_input = d_output x weight`.
pub(crate) fn input_gradient(isa: Isa, d_output: &[f32], weight: &[f32], d_input: &mut [f32], inputs: usize) {
    let (rows, outputs) = shape(d_input.len(), weight.len(), d_output.len(), inputs);
    let left = Strided { values: d_output, row: outputs, column: 1 };
    let right = Strided { values: weight, row: inputs, column: 1 };
    multiply(isa, d_input, (left, right), (rows, inputs, outputs), Target::Write);
}

/// Adds `d_output^T x input` to `d_weight`.
pub(crate) fn weight_gradient(isa: Isa, d_output: &[f32], input: &[f32], d_weight: &mut [f32], inputs: usize) {
    let (rows, outputs) = shape(input.len(), d_weight.len(), d_output.len(), inputs);
    let left = Strided { values: d_output, row: 1, column: outputs };
    let right = Strided { values: input, row: inputs, column: 1 };
    multiply(isa, d_weight, (left, right), (outputs, inputs, rows), Target::Add);
}

fn product(isa: Isa, (input, weight): (&[f32], &[f32]), output: &mut [f32], inputs: usize, target: Target) {
    let (rows, outputs) = shape(input.len(), weight.len(), output.len(), inputs);
    let left = Strided { values: input, row: inputs, column: 1 };
    let right = Strided { values: weight, row: 1, column: inputs };
    multiply(isa, output, (left, right), (rows, outputs, inputs), target);
}

/// Rows and outputs, after checking that the three matrices fit together.
fn shape(input: usize, weight: usize, output: usize, inputs: usize) -> (usize, usize) {
    let (rows, outputs) = (input / inputs, weight / inputs);
    assert_eq!((rows * inputs, outputs * inputs, rows * outputs), (input, weight, output), "shapes agree");
    (rows, outputs)
}

/// Whether a product replaces or adds to what is there.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Write,
    Add,
}

/// A matrix seen through the distances between neighbouring rows and columns.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f32],
    row: usize,
    column: usize,
}

/// `out[m, n]` = (or +=) `left[m, k] x right[k, n]`; `out` is row-major and every matrix dense.
fn multiply(
    isa: Isa,
    out: &mut [f32],
    (left, right): (Strided<'_>, Strided<'_>),
    (m, n, k): (usize, usize, usize),
    target: Target,
) {
    assert_eq!((out.len(), left.values.len(), right.values.len()), (m * n, m * k, k * n), "matrices are dense");
    let operand = |matrix: Strided<'_>| Matrix {
        start: matrix.values.as_ptr(),
        column: matrix.column as isize,
        row: matrix.row as isize,
    };
    let product = Product {
        sizes: (m, n, k),
        out: Matrix { start: out.as_mut_ptr(), column: 1, row: n as isize },
        left: operand(left),
        right: operand(right),
        add: target == Target::Add,
    };
    // SAFETY: the pointers, sizes and strides describe the three slices exactly, by the assertion above and because
    // strides are either (width, 1) or (1, height) of a dense matrix; `out` is borrowed mutably and so overlaps neither.
    unsafe { product.run(isa) };
}
