//! Activations as the matrix products read them: f32 rows, and the same rows in 16-bit blocks for quantised weights.
//!
//! Sixteen bits, because eight (llama.cpp's `q8_0`, `q8_1`) move logits by tenths, enough to change greedy answers; they
//! are kept as two bytes `256 * high + low`, so that byte products (VNNI) sum them exactly.

use rayon::prelude::*;

use super::BLOCK_LEN;
use crate::{
    cpu::lanes::{Kernel, LANES, Lanes},
    isa::Isa,
};

/// Blocks that one task quantises; below this a task costs more than it saves.
const BLOCKS_PER_TASK: usize = 256;

/// `rows` x `columns` f32 activations, quantised on request to one scale per 32 elements.
#[derive(Debug, Default, Clone)]
pub struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
    pub(super) quants: Vec<BlockQuants>,
    /// What turns each block's quants back into values.
    pub(super) scales: Vec<BlockScale>,
}

/// The 32 quants of one block, in halves.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BlockQuants {
    pub(super) high: [i8; BLOCK_LEN],
    pub(super) low: [i8; BLOCK_LEN],
}

/// Largest quant: 127 in the high byte, nothing in the low one.
const LARGEST_QUANT: f32 = 32_512.0;

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

    /// Rounds every 32-element block to 16 bits: step = largest magnitude / 32512, ties to even.
    pub(super) fn quantise(&mut self, isa: Isa) {
        let values = self.values.as_chunks::<BLOCK_LEN>().0;
        self.quants.resize(values.len(), BlockQuants::default());
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
    quants: &'a mut [BlockQuants],
    scales: &'a mut [BlockScale],
}

impl Kernel for Quantise<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (values, (quants, scale)) in self.values.iter().zip(self.quants.iter_mut().zip(self.scales)) {
            let [first, second] = [0, LANES].map(|start| values[start..].first_chunk().expect("a block has 32"));
            let halves = [L::load(first), L::load(second)];
            let largest = halves[0].abs().max(halves[1].abs()).reduce_max();
            let inverse = L::splat(if largest > 0.0 { LARGEST_QUANT / largest } else { 0.0 });
            let mut sum = 0;
            for (half, values) in halves.into_iter().enumerate() {
                let (high, low, part) = values.mul(inverse).to_byte_pairs();
                quants.high[half * LANES..][..LANES].copy_from_slice(&high);
                quants.low[half * LANES..][..LANES].copy_from_slice(&low);
                sum += part;
            }
            let step = largest / LARGEST_QUANT;
            *scale = BlockScale { step, sum, total: step * sum as f32 };
        }
    }
}
