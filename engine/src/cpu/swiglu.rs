//! SwiGLU (arXiv:2002.05202): `out[i] = silu(gate[i]) * up[i]` with `silu(x) = x * sigmoid(x)`.
//!
//! A row of `gate_up` holds `width` gates and then `width` ups, as one matrix product made them.

use rayon::prelude::*;

use super::simd::{exp, mul_add, vectorised};
use crate::isa::Isa;

/// Rows one task works on: at usual widths some 100 KiB, which stay inside a core's second cache.
const BLOCK_ROWS: usize = 8;

/// Writes `out`, `[rows, width]`, from `gate_up`, `[rows, 2 * width]`.
pub(crate) fn forward(isa: Isa, gate_up: &[f32], out: &mut [f32], width: usize) {
    assert_eq!(gate_up.len(), 2 * out.len(), "shapes agree");
    out.par_chunks_mut(BLOCK_ROWS * width).zip(gate_up.par_chunks(BLOCK_ROWS * 2 * width)).for_each(
        |(out, gate_up)| {
            for (out, gate_up) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = gate_up.split_at(width);
                forward_row(isa, gate, up, out);
            }
        },
    );
}

/// Writes `d_gate_up` for `d_out`, and over `d_out` what [`forward`] gave: the product after this one needs it again, and
/// here its inputs are at hand.
pub(crate) fn backward_and_output(isa: Isa, gate_up: &[f32], d_out: &mut [f32], d_gate_up: &mut [f32], width: usize) {
    assert_eq!((gate_up.len(), d_gate_up.len()), (2 * d_out.len(), 2 * d_out.len()), "shapes agree");
    let (narrow, wide) = (BLOCK_ROWS * width, BLOCK_ROWS * 2 * width);
    d_out.par_chunks_mut(narrow).zip(d_gate_up.par_chunks_mut(wide)).zip(gate_up.par_chunks(wide)).for_each(
        |((d_out, d_gate_up), gate_up)| {
            let rows = d_out.chunks_exact_mut(width).zip(d_gate_up.chunks_exact_mut(2 * width));
            for ((d_out, d_gate_up), gate_up) in rows.zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = gate_up.split_at(width);
                let (d_gate, d_up) = d_gate_up.split_at_mut(width);
                backward_row(isa, gate, up, d_out, d_gate, d_up);
            }
        },
    );
}

vectorised! {
    fn forward_row(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate / (1.0 + exp::<FMA>(-gate)) * up;
        }
    }
}

vectorised! {
    fn backward_row(gate: &[f32], up: &[f32], d_out: &mut [f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        let inputs = gate.iter().zip(up);
        for (((gate, up), d_out), (d_gate, d_up)) in inputs.zip(d_out).zip(d_gate.iter_mut().zip(d_up)) {
            let sigmoid = 1.0 / (1.0 + exp::<FMA>(-gate));
            let silu = gate * sigmoid;
            let gradient = *d_out;
            *d_up = gradient * silu;
            // silu'(x) = sigmoid(x) + silu(x) * (1 - sigmoid(x))
            *d_gate = gradient * up * mul_add::<FMA>(silu, 1.0 - sigmoid, sigmoid);
            *d_out = silu * up;
        }
    }
}
