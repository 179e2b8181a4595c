//! Activations as the matrix products read them: f32 rows, and the same rows in 8-bit blocks for quantised weights.

use rayon::prelude::*;

use super::BLOCK_LEN;
use crate::cpu::lanes::{Isa, Kernel, LANES, Lanes};

/// Blocks that one task quantises; below this a task costs more than it saves.
const BLOCKS_PER_TASK: usize = 256;

/// `rows` x `columns` f32 activations, quantised on request to one scale per 32 elements.
#[derive(Debug, Default, Clone)]
pub struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
    pub(super) quants: Vec<[i8; BLOCK_LEN]>,
    /// What turns each block's quants back into values.
    pub(super) scales: Vec<BlockScale>,
}

/// The numbers that belong to one block of 32 quants.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BlockScale {
    /// Value of one step.
    pub(super) step: f32,
    /// Sum of the quants.
    pub(super) sum: i32,
    /// `step * sum`: the sum of the values.
    pub(super) total: f32,
}

impl Activations {
    /// Makes room for `rows` x `columns`; the caller fills `values_mut`.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.values.resize(rows * columns, 0.0);
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Rounds every 32-element block to signed bytes: step = largest magnitude / 127, ties to even.
    pub(super) fn quantise(&mut self, isa: Isa) {
        let values = self.values.as_chunks::<BLOCK_LEN>().0;
        self.quants.resize(values.len(), [0; BLOCK_LEN]);
        self.scales.resize(values.len(), BlockScale::default());
        let (quants, scales) = (&mut self.quants, &mut self.scales);
        if values.len() <= BLOCKS_PER_TASK {
            return isa.run(Quantise { values, quants, scales });
        }
        let outputs = quants.par_chunks_mut(BLOCKS_PER_TASK).zip(scales.par_chunks_mut(BLOCKS_PER_TASK));
        values
            .par_chunks(BLOCKS_PER_TASK)
            .zip(outputs)
            .for_each(|(values, (quants, scales))| isa.run(Quantise { values, quants, scales }));
    }
}

struct Quantise<'a> {
    values: &'a [[f32; BLOCK_LEN]],
    quants: &'a mut [[i8; BLOCK_LEN]],
    scales: &'a mut [BlockScale],
}

impl Kernel for Quantise<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (values, (quants, scale)) in self.values.iter().zip(self.quants.iter_mut().zip(self.scales)) {
            let (low, high): (&[f32; LANES], &[f32; LANES]) =
                (values.first_chunk().expect("32 hold 16"), values.last_chunk().expect("32 hold 16"));
            let (low, high) = (L::load(low), L::load(high));
            let largest = low.abs().max(high.abs()).reduce_max();
            let inverse = L::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            let (first, second) = quants.split_at_mut(LANES);
            first.copy_from_slice(&low.mul(inverse).to_bytes());
            second.copy_from_slice(&high.mul(inverse).to_bytes());
            let (step, sum) = (largest / 127.0, quants.iter().map(|&quant| i32::from(quant)).sum());
            *scale = BlockScale { step, sum, total: step * sum as f32 };
        }
    }
}
