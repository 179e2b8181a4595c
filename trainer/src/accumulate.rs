//! Gradients of one rank's part of a step, summed in a fixed tree.
//!
//! Owns the tree over micro-batches. A step's micro-batches are cut into up to eight leaves; within a leaf they are
//! added one after the other, and leaves are added in pairs. A rank holds neighbouring leaves, and the collective goes
//! on with the same tree over ranks: 1, 2, 4 and 8 ranks add the same numbers in the same order.

use std::ops::Range;

use bedplate_engine::{ConfigError, Decoder, Gradients, LossSum, ParamLayout, Weights, collective::add_assign};
use std::sync::Arc;

use crate::{
    data::{BatchError, BatchFiller, TrainingData},
    plan::TrainingPlan,
};

/// Most leaves: one for each of the most ranks a job can have.
const MAX_LEAVES: u64 = 8;

/// How the micro-batches of a step are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumTree {
    /// Micro-batches that are added one after the other.
    pub micro_batches_per_leaf: u64,
    /// Leaves of each rank.
    pub leaves_per_rank: u64,
}

impl SumTree {
    /// The tree of `micro_batches`, which `world_size` (a power of two up to eight) divides.
    pub fn new(micro_batches: u64, world_size: u64) -> Self {
        let leaves = (1 << micro_batches.trailing_zeros()).min(MAX_LEAVES);
        assert!(leaves.is_multiple_of(world_size), "{world_size} ranks divide {micro_batches} micro-batches");
        Self { micro_batches_per_leaf: micro_batches / leaves, leaves_per_rank: leaves / world_size }
    }

    /// Sets of gradients that a rank needs: one for each level of its part of the tree.
    pub fn buffers(&self) -> usize {
        self.leaves_per_rank.ilog2() as usize + 1
    }

    fn leaves_of(&self, rank: u64) -> Range<u64> {
        rank * self.leaves_per_rank..(rank + 1) * self.leaves_per_rank
    }
}

/// The buffers that a step's forward and backward passes need.
#[derive(Debug)]
pub struct Accumulator {
    tree: SumTree,
    micro_batch_size: u64,
    decoder: Decoder,
    filler: BatchFiller,
    /// The sum at each depth of the tree that is being worked out; the first is the result.
    sums: Vec<Gradients>,
}

impl Accumulator {
    /// Allocates everything once.
    pub fn new(plan: &TrainingPlan, layout: &Arc<ParamLayout>) -> Result<Self, ConfigError> {
        let config = &plan.model.config;
        Ok(Self {
            tree: plan.tree,
            micro_batch_size: plan.shape.micro_batch_size as u64,
            decoder: Decoder::new(config, plan.shape)?,
            filler: BatchFiller::new(plan.shape, config.vocab_size),
            sums: (0..plan.tree.buffers()).map(|_| Gradients::zeros(layout.clone())).collect(),
        })
    }

    /// Decoder and batch, for whoever only wants the loss.
    pub fn forward_parts(&mut self) -> (&mut Decoder, &mut BatchFiller) {
        (&mut self.decoder, &mut self.filler)
    }

    /// Gradients of the sum of the losses, as the last [`Accumulator::sum`] left them.
    pub fn gradients_mut(&mut self) -> &mut Gradients {
        &mut self.sums[0]
    }

    /// Sums loss and gradients of `rank`'s part of the step whose first sample is `first_sample`.
    pub fn sum(
        &mut self,
        weights: &Weights,
        data: &TrainingData,
        first_sample: u64,
        rank: u64,
    ) -> Result<LossSum, BatchError> {
        self.sum_leaves(weights, &Step { data, first_sample }, self.tree.leaves_of(rank), 0)
    }

    fn sum_leaves(
        &mut self,
        weights: &Weights,
        step: &Step<'_>,
        leaves: Range<u64>,
        depth: usize,
    ) -> Result<LossSum, BatchError> {
        let len = leaves.end - leaves.start;
        if len == 1 {
            return self.sum_leaf(weights, step, leaves.start, depth);
        }
        let middle = leaves.start + len / 2;
        let mut loss = self.sum_leaves(weights, step, leaves.start..middle, depth)?;
        loss += self.sum_leaves(weights, step, middle..leaves.end, depth + 1)?;
        let (lower, upper) = self.sums.split_at_mut(depth + 1);
        add_assign(lower[depth].as_mut_slice(), upper[0].as_slice());
        Ok(loss)
    }

    fn sum_leaf(&mut self, weights: &Weights, step: &Step<'_>, leaf: u64, depth: usize) -> Result<LossSum, BatchError> {
        let mut loss = LossSum::default();
        self.sums[depth].clear();
        for micro_batch in leaf * self.tree.micro_batches_per_leaf..(leaf + 1) * self.tree.micro_batches_per_leaf {
            let first = step.first_sample + micro_batch * self.micro_batch_size;
            let sequences = (0..self.micro_batch_size as usize).map(|row| step.data.at(first + row as u64));
            let batch = self.filler.fill(sequences)?;
            loss += self.decoder.loss_and_gradients(weights, batch, &mut self.sums[depth]);
        }
        Ok(loss)
    }
}

/// Which samples a step sums.
struct Step<'a> {
    data: &'a TrainingData,
    first_sample: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_size_shares_the_same_leaves() {
        for micro_batches in [1, 2, 3, 4, 6, 8, 12, 24, 40, 64] {
            let alone = SumTree::new(micro_batches, 1);
            for world_size in [1, 2, 4, 8].into_iter().filter(|world_size| micro_batches % world_size == 0) {
                let tree = SumTree::new(micro_batches, world_size);
                assert_eq!(tree.micro_batches_per_leaf, alone.micro_batches_per_leaf);
                let leaves: Vec<u64> = (0..world_size).flat_map(|rank| tree.leaves_of(rank)).collect();
                assert_eq!(leaves, alone.leaves_of(0).collect::<Vec<_>>());
                assert_eq!(leaves.len() as u64 * tree.micro_batches_per_leaf, micro_batches);
            }
        }
    }

    #[test]
    fn buffers_grow_with_the_depth_and_not_with_the_batch() {
        assert_eq!(SumTree::new(3, 1).buffers(), 1);
        assert_eq!(SumTree::new(8, 1).buffers(), 4);
        assert_eq!(SumTree::new(1024, 1).buffers(), 4);
        assert_eq!(SumTree::new(1024, 8).buffers(), 1);
    }
}
