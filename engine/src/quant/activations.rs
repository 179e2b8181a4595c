//! Activations as the matrix products read them: f32 rows, and the same rows in 8-bit blocks for quantised weights.

use super::BLOCK_LEN;

/// `rows` x `columns` f32 activations, quantised on request to one scale per 32 elements.
#[derive(Debug, Default, Clone)]
pub struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
    pub(super) quants: Vec<i8>,
    /// Scale of each block.
    pub(super) scales: Vec<f32>,
    /// Sum of the quants of each block.
    pub(super) sums: Vec<i32>,
}

impl Activations {
    /// Makes room for `rows` x `columns`; the caller fills `values_mut`.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.values.resize(rows * columns, 0.0);
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Rounds every 32-element block to signed bytes: scale = largest magnitude / 127, ties to even.
    pub fn quantise(&mut self) {
        let blocks = self.values.len() / BLOCK_LEN;
        self.quants.resize(blocks * BLOCK_LEN, 0);
        self.scales.resize(blocks, 0.0);
        self.sums.resize(blocks, 0);
        let outputs = self.quants.chunks_exact_mut(BLOCK_LEN).zip(self.scales.iter_mut().zip(&mut self.sums));
        for (values, (quants, (scale, sum))) in self.values.chunks_exact(BLOCK_LEN).zip(outputs) {
            let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            *scale = largest / 127.0;
            *sum = 0;
            for (quant, value) in quants.iter_mut().zip(values) {
                *quant = (value * inverse).round_ties_even() as i8;
                *sum += i32::from(*quant);
            }
        }
    }
}
