//! Copying heads into tiles, and the elementwise work on one tile of scores.

use super::TILE;
use crate::cpu::simd::{LANES, dot, exp, largest, mul_add, sum_lanes, vectorised};

/// One head's columns in rows of `width` elements, starting at column `column`.
#[derive(Clone, Copy)]
pub(super) struct HeadColumns<'a> {
    pub rows: &'a [f32],
    pub width: usize,
    pub column: usize,
    pub head_dim: usize,
}

impl<'a> HeadColumns<'a> {
    pub(super) fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    pub(super) fn row(&self, index: usize) -> &'a [f32] {
        &self.rows[index * self.width + self.column..][..self.head_dim]
    }

    /// Copies rows `first..` times `factor` into `out` (`[n, head_dim]`); rows past the end become zero.
    pub(super) fn copy(&self, first: usize, factor: f32, out: &mut [f32]) {
        for (index, out) in out.chunks_exact_mut(self.head_dim).enumerate() {
            if first + index < self.len() {
                out.iter_mut().zip(self.row(first + index)).for_each(|(out, value)| *out = value * factor);
            } else {
                out.fill(0.0);
            }
        }
    }

    /// Copies all rows transposed tile by tile: `out` is `[tiles, head_dim, TILE]`, zero past the end.
    pub(super) fn copy_transposed(&self, out: &mut [f32]) {
        for (tile, out) in out.chunks_exact_mut(self.head_dim * TILE).enumerate() {
            for index in 0..TILE {
                let row = tile * TILE + index;
                if row < self.len() {
                    let column = out[index..].iter_mut().step_by(TILE);
                    column.zip(self.row(row)).for_each(|(out, value)| *out = *value);
                } else {
                    out[index..].iter_mut().step_by(TILE).for_each(|out| *out = 0.0);
                }
            }
        }
    }
}

/// Which keys of a tile a query sees: columns `first..end` of the tile, from its document's start to itself.
#[derive(Clone, Copy)]
pub(super) struct Visible {
    first: usize,
    end: usize,
}

impl Visible {
    pub(super) fn new(position: usize, start: u32, tile: usize) -> Self {
        let base = tile * TILE;
        let first = (start as usize).saturating_sub(base).min(TILE);
        Self { first, end: (position + 1).saturating_sub(base).min(TILE).max(first) }
    }

    #[inline(always)]
    fn hide(self, row: &mut [f32], value: f32) {
        row[..self.first].fill(value);
        row[self.end..].fill(value);
    }
}

/// The running softmax of a tile's queries: `output` is a sum of values weighted by `exp(score - largest)`.
pub(super) struct Running<'a> {
    pub largest: &'a mut [f32],
    pub sums: &'a mut [f32],
    pub output: &'a mut [f32],
}

vectorised! {
    /// Turns a tile of scores into weights and brings `running` to the new largest scores.
    pub(super) fn absorb(scores: &mut [f32], visible: &[Visible], running: Running<'_>) {
        let head_dim = running.output.len() / visible.len();
        for (index, (row, visible)) in scores.chunks_exact_mut(TILE).zip(visible).enumerate() {
            visible.hide(row, f32::NEG_INFINITY);
            let before = running.largest[index];
            let after = largest(row, before);
            if visible.first == visible.end {
                row.fill(0.0);
                continue;
            }
            let mut lanes = [0.0; LANES];
            for chunk in row.chunks_exact_mut(LANES) {
                for (sum, value) in lanes.iter_mut().zip(chunk) {
                    *value = exp::<FMA>(*value - after);
                    *sum += *value;
                }
            }
            visible.hide(row, 0.0);
            let correction = exp::<FMA>(before - after);
            running.largest[index] = after;
            running.sums[index] = mul_add::<FMA>(running.sums[index], correction, sum_lanes(lanes));
            let output = &mut running.output[index * head_dim..][..head_dim];
            output.iter_mut().for_each(|value| *value *= correction);
        }
    }
}

vectorised! {
    /// Turns a tile of scores into probabilities `exp(score - log_sum_exp)`.
    pub(super) fn probabilities(scores: &mut [f32], visible: &[Visible], log_sum_exp: &[f32]) {
        for ((row, visible), log_sum) in scores.chunks_exact_mut(TILE).zip(visible).zip(log_sum_exp) {
            row.iter_mut().for_each(|value| *value = exp::<FMA>(*value - log_sum));
            visible.hide(row, 0.0);
        }
    }
}

vectorised! {
    /// Turns gradients of probabilities into gradients of scores: `p * (dp - sum(p * dp))`, the sum being `along`.
    pub(super) fn score_gradients(d_probabilities: &mut [f32], probabilities: &[f32], along: &[f32]) {
        let rows = d_probabilities.chunks_exact_mut(TILE).zip(probabilities.chunks_exact(TILE));
        for ((gradients, probabilities), along) in rows.zip(along) {
            for (gradient, probability) in gradients.iter_mut().zip(probabilities) {
                *gradient = probability * (*gradient - along);
            }
        }
    }
}

vectorised! {
    /// `sum(p * dp)` of a query over all keys equals the dot product of its output and the output's gradient.
    pub(super) fn along(d_output: &[f32], output: &[f32]) -> f32 {
        dot::<FMA>(d_output, output)
    }
}

/// Takes `len` elements off the front of `rest`.
pub(super) fn carve<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (front, back) = std::mem::take(rest).split_at_mut(len);
    *rest = back;
    front
}
