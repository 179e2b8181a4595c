//! Small random models, as weights and as files.

use std::sync::Arc;

use crate::config::ModelConfig;
use crate::layout::ParamLayout;
use crate::params::Weights;
use crate::serving::{Chunk, KvCache, KvFormat, Runner, ServingModel};

/// Widths that fill no vector evenly and heads that share keys three to one.
pub(super) fn uneven_config() -> ModelConfig {
    ModelConfig {
        hidden_size: 60,
        intermediate_size: 70,
        num_hidden_layers: 2,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 10,
        vocab_size: 93,
        max_position_embeddings: 128,
        initializer_range: 0.3,
        ..ModelConfig::default()
    }
}

/// Widths that every format can store.
pub(super) fn even_config() -> ModelConfig {
    ModelConfig {
        hidden_size: 128,
        intermediate_size: 192,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 1,
        head_dim: 32,
        vocab_size: 160,
        max_position_embeddings: 128,
        initializer_range: 0.2,
        ..ModelConfig::default()
    }
}

pub(super) fn weights_of(config: &ModelConfig, seed: u64) -> Weights {
    let mut weights = Weights::init(Arc::new(ParamLayout::new(config)), config, seed);
    // Norms that differ from one, or a forgotten norm would not show.
    let norms: Vec<_> = weights.layout().params().iter().filter(|param| param.is_vector()).cloned().collect();
    for norm in norms {
        let values = weights.tensor_mut(&norm.name).expect("the layout names it").iter_mut();
        values.enumerate().for_each(|(index, value)| *value = 0.5 + (index % 7) as f32 / 6.0);
    }
    weights
}

/// `len` deterministic tokens.
pub(super) fn tokens(len: usize, vocab_size: usize) -> Vec<u32> {
    (0..len).map(|index| (index * index * 31 + index * 7 + 3) as u32 % vocab_size as u32).collect()
}

/// One sequence with its own blocks, in an order that is not the natural one.
pub(super) struct Session {
    pub(super) runner: Runner,
    pub(super) cache: KvCache,
    pub(super) table: Vec<u32>,
}

impl Session {
    pub(super) fn new(model: &Arc<ServingModel>, block_size: usize, format: KvFormat) -> Self {
        let num_blocks = 128usize.div_ceil(block_size);
        let cache = KvCache::with_format(model.config(), num_blocks, block_size, format);
        Self { runner: Runner::new(model.clone()), cache, table: (0..num_blocks as u32).rev().collect() }
    }

    /// Logits after the last of `tokens`, whose first has position `start`.
    pub(super) fn run(&mut self, tokens: &[u32], start: usize) -> Vec<f32> {
        let chunk = Chunk { tokens, start, block_table: &self.table, wants_logits: true };
        self.runner.forward(&mut self.cache, &[chunk]).to_vec()
    }
}

/// Logits after every token, fed one by one.
pub(super) fn logits_one_by_one(model: &Arc<ServingModel>, tokens: &[u32], format: KvFormat) -> Vec<Vec<f32>> {
    let mut session = Session::new(model, 16, format);
    (0..tokens.len()).map(|position| session.run(&tokens[position..=position], position)).collect()
}
