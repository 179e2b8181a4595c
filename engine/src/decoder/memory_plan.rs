//! What a training job allocates, known before it does.
//!
//! Pure arithmetic over the numbers that the allocations read. Not in it: the program itself, and the packing buffers of
//! matrix products, which are bounded by the cores' second caches.

use super::{batch::BatchShape, buffers::Sizes};
use crate::{config::ModelConfig, layout::ParamLayout};

/// Named parts in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    parts: [(&'static str, u64); 5],
}

impl MemoryPlan {
    /// The plan of training `config`'s model with AdamW on batches of `shape`, with `gradient_buffers` sets of gradients.
    pub fn for_training(config: &ModelConfig, shape: BatchShape, gradient_buffers: usize) -> Self {
        let weights = ParamLayout::new(config).len() as u64 * 4;
        let sizes = Sizes::new(config, shape);
        Self {
            parts: [
                ("weights", weights),
                ("gradients", weights.saturating_mul(gradient_buffers as u64)),
                ("optimizer", weights.saturating_mul(MOMENTS)),
                ("activations", sizes.activation_bytes()),
                ("workspace", sizes.workspace_bytes()),
            ],
        }
    }

    /// The parts by name.
    pub fn parts(&self) -> &[(&'static str, u64)] {
        &self.parts
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// AdamW keeps two numbers for each weight.
const MOMENTS: u64 = 2;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        decoder::buffers::Buffers,
        optimizer::{AdamW, AdamWConfig},
        params::{Gradients, Weights},
    };

    fn part(plan: &MemoryPlan, name: &str) -> u64 {
        plan.parts().iter().find(|(part, _)| *part == name).unwrap().1
    }

    #[test]
    fn what_is_allocated_equals_the_plan() {
        for (micro_batch_size, sequence_length, tied) in [(1, 1, true), (3, 100, false), (9, 256, true)] {
            let shape = BatchShape { micro_batch_size, sequence_length };
            let config =
                ModelConfig { num_hidden_layers: 2, vocab_size: 8000, tie_word_embeddings: tied, ..Default::default() };
            let plan = MemoryPlan::for_training(&config, shape, 3);
            let buffers = Buffers::allocate(&Sizes::new(&config, shape), &config, shape);
            assert_eq!(buffers.allocated_bytes(), (part(&plan, "activations"), part(&plan, "workspace")));

            let layout = Arc::new(ParamLayout::new(&config));
            let bytes = |values: &[f32]| size_of_val(values) as u64;
            assert_eq!(bytes(Weights::zeros(layout.clone()).as_slice()), part(&plan, "weights"));
            assert_eq!(3 * bytes(Gradients::zeros(layout.clone()).as_slice()), part(&plan, "gradients"));
            let moments = AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 };
            let optimizer = AdamW::new(moments, layout);
            assert_eq!(bytes(optimizer.moments().0) + bytes(optimizer.moments().1), part(&plan, "optimizer"));
            assert_eq!(plan.total(), plan.parts().iter().map(|(_, bytes)| bytes).sum::<u64>());
        }
    }

    #[test]
    fn a_shape_no_memory_holds_still_gets_a_plan() {
        let config = ModelConfig {
            hidden_size: 1 << 20,
            intermediate_size: 1 << 23,
            num_hidden_layers: 3,
            max_position_embeddings: 1 << 20,
            ..Default::default()
        };
        let shape = BatchShape { micro_batch_size: 1 << 30, sequence_length: 1 << 20 };
        assert_eq!(MemoryPlan::for_training(&config, shape, 1).total(), u64::MAX);
    }
}
