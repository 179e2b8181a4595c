//! Rotary position embedding (arXiv:2104.09864) in Hugging Face's rotate-half convention: within a head, element `i` and
//! element `i + head_dim / 2` turn by `position * theta^(-2i / head_dim)`.

use rayon::prelude::*;

use super::simd::vectorised;
use crate::isa::Isa;

/// Rows one task turns: enough work to be worth a task, little enough to share out.
const BLOCK_ROWS: usize = 32;

/// Cosines and sines of every position.
#[derive(Debug)]
pub(crate) struct Angles {
    head_dim: usize,
    /// `[positions, head_dim]`: `head_dim / 2` cosines, then as many sines.
    table: Vec<f32>,
}

/// Which way to turn: gradients turn back.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Turn {
    Forward,
    Backward,
}

impl Angles {
    /// Elements of the table.
    pub(crate) fn table_len(positions: usize, head_dim: usize) -> usize {
        positions * head_dim
    }

    /// Works the table out in f64.
    pub(crate) fn new(positions: usize, head_dim: usize, theta: f64) -> Self {
        let mut table = vec![0.0; Self::table_len(positions, head_dim)];
        for (position, row) in table.chunks_exact_mut(head_dim).enumerate() {
            let (cosines, sines) = row.split_at_mut(head_dim / 2);
            for (index, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                let angle = position as f64 * theta.powf(-2.0 * index as f64 / head_dim as f64);
                (*cosine, *sine) = (angle.cos() as f32, angle.sin() as f32);
            }
        }
        Self { head_dim, table }
    }

    /// Bytes of the table.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    fn row(&self, position: u32) -> &[f32] {
        &self.table[position as usize * self.head_dim..][..self.head_dim]
    }
}

/// Turns, in place, the first `turned` elements (whole heads: queries and keys) of each row of `width` elements.
/// `positions` has one entry a row.
pub(crate) fn apply(
    isa: Isa,
    rows: &mut [f32],
    (width, turned): (usize, usize),
    positions: &[u32],
    angles: &Angles,
    turn: Turn,
) {
    assert_eq!(rows.len(), positions.len() * width, "one position a row");
    rows.par_chunks_mut(BLOCK_ROWS * width).zip(positions.par_chunks(BLOCK_ROWS)).for_each(|(rows, positions)| {
        for (row, position) in rows.chunks_exact_mut(width).zip(positions) {
            let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
            turn_heads(isa, &mut row[..turned], angles.row(*position), sign);
        }
    });
}

vectorised! {
    fn turn_heads(heads: &mut [f32], angles: &[f32], sign: f32) {
        let (cosines, sines) = angles.split_at(angles.len() / 2);
        for head in heads.chunks_exact_mut(angles.len()) {
            let (low, high) = head.split_at_mut(cosines.len());
            for (((low, high), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                let (a, b, sine) = (*low, *high, sign * sine);
                *low = a * cosine - b * sine;
                *high = b * cosine + a * sine;
            }
        }
    }
}
