//! A LLaMA-style decoder for training: token ids in, loss and gradients out.
//!
//! Owns the order of the operations, forward and backward (written by hand, there is no autograd), and every buffer, all
//! allocated once. Never owns weights, knows nothing of steps, files or ranks.

mod batch;
mod block;
mod buffers;
mod head;
mod memory_plan;

pub use crate::cpu::cross_entropy::IGNORED_TARGET;
pub use batch::{Batch, BatchShape, LossSum};
pub use memory_plan::MemoryPlan;

use self::{
    block::{Block, BlockShape},
    buffers::{Buffers, Sizes, attention_shape},
    head::Head,
};
use crate::{
    config::{ConfigError, ModelConfig},
    cpu::embedding,
    isa::Isa,
    layout::ParamLayout,
    params::{Gradients, Weights},
};

/// The model's computation with its buffers.
#[derive(Debug)]
pub struct Decoder {
    layout: ParamLayout,
    vocab_size: usize,
    shape: BatchShape,
    block_shape: BlockShape,
    head_rows: usize,
    buffers: Buffers,
}

impl Decoder {
    /// Allocates every buffer for batches up to `shape`: exactly the activations and workspace of [`MemoryPlan`].
    /// It computes with the best instructions of the processor.
    pub fn new(config: &ModelConfig, shape: BatchShape) -> Result<Self, ConfigError> {
        config.validate()?;
        shape.validate(config)?;
        let sizes = Sizes::new(config, shape);
        Ok(Self {
            layout: ParamLayout::new(config),
            vocab_size: config.vocab_size,
            shape,
            block_shape: BlockShape::new(config, attention_shape(config, shape), Isa::detect()),
            head_rows: sizes.head_rows,
            buffers: Buffers::allocate(&sizes, config, shape),
        })
    }

    /// Computes with these instructions instead.
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.block_shape.isa = isa;
        self
    }

    /// The largest batch.
    pub fn shape(&self) -> BatchShape {
        self.shape
    }

    /// Loss of `batch`; forward only.
    ///
    /// # Panics
    /// If the batch does not fit the shape, holds a token outside the vocabulary, or the weights are another model's.
    pub fn loss(&mut self, weights: &Weights, batch: &Batch) -> LossSum {
        self.forward(weights, batch);
        let head = head(&self.layout, weights, &self.block_shape, self.head_rows);
        head.loss(&self.buffers.residual, &batch.targets, &mut self.buffers.workspace);
        self.sum(batch)
    }

    /// Loss of `batch`; adds the gradient of the sum of its negative log-likelihoods to `gradients`.
    ///
    /// # Panics
    /// As [`Decoder::loss`].
    pub fn loss_and_gradients(&mut self, weights: &Weights, batch: &Batch, gradients: &mut Gradients) -> LossSum {
        assert_eq!(**gradients.layout(), self.layout, "the gradients are this model's");
        self.forward(weights, batch);
        let head = head(&self.layout, weights, &self.block_shape, self.head_rows);
        let gradients = gradients.as_mut_slice();
        head.loss_and_gradients(&self.buffers.residual, &batch.targets, &mut self.buffers.workspace, gradients);
        self.backward(weights, batch, gradients);
        self.sum(batch)
    }

    fn forward(&mut self, weights: &Weights, batch: &Batch) {
        assert_eq!(**weights.layout(), self.layout, "the weights are this model's");
        batch.check(self.shape, self.vocab_size);
        let rows = batch.tokens.len();
        let Buffers { blocks, residual, workspace } = &mut self.buffers;
        batch.locate(self.shape.sequence_length, &mut workspace.starts[..rows], &mut workspace.positions[..rows]);
        let hidden = self.block_shape.hidden;
        let table = &weights.as_slice()[self.layout.embedding.clone()];
        embedding::forward(table, &batch.tokens, &mut blocks[0].residual[..rows * hidden], hidden);
        for index in 0..blocks.len() {
            let (before, after) = blocks.split_at_mut(index + 1);
            let next = after.first_mut().map_or(&mut *residual, |block| &mut block.residual);
            let block = block(&self.layout, weights, &self.block_shape, index);
            block.forward(&mut before[index], workspace, next, rows);
        }
    }

    /// From `d_residual` after the last block down to the embedding.
    fn backward(&mut self, weights: &Weights, batch: &Batch, gradients: &mut [f32]) {
        let rows = batch.tokens.len();
        let Buffers { blocks, workspace, .. } = &mut self.buffers;
        for (index, kept) in blocks.iter().enumerate().rev() {
            block(&self.layout, weights, &self.block_shape, index).backward(kept, workspace, gradients, rows);
        }
        let hidden = self.block_shape.hidden;
        let d_table = &mut gradients[self.layout.embedding.clone()];
        embedding::backward(&workspace.d_residual[..rows * hidden], &batch.tokens, d_table, hidden);
    }

    fn sum(&self, batch: &Batch) -> LossSum {
        let nll = &self.buffers.workspace.nll[..batch.targets.len()];
        LossSum { nll: nll.iter().map(|nll| f64::from(*nll)).sum(), tokens: batch.target_count() }
    }
}

fn block<'a>(layout: &'a ParamLayout, weights: &'a Weights, shape: &'a BlockShape, index: usize) -> Block<'a> {
    Block { shape, ranges: &layout.blocks[index], weights: weights.as_slice() }
}

fn head<'a>(layout: &'a ParamLayout, weights: &'a Weights, shape: &'a BlockShape, chunk_rows: usize) -> Head<'a> {
    Head { layout, weights: weights.as_slice(), shape, chunk_rows }
}
