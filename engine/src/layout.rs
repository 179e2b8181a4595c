//! Where each named tensor lives in the flat parameter vector.
//!
//! Owns names, shapes and order. The order is a promise the model relies on: `q_proj`, `k_proj`, `v_proj` of a block lie
//! side by side and so do `gate_proj` and `up_proj`, so that each group is one matrix to one GEMM.

use std::ops::Range;

use crate::config::ModelConfig;

/// One named tensor of the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// Hugging Face's name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[rows, columns]` (output by input) of a matrix, `[width]` of a norm.
    pub shape: Vec<usize>,
    /// Its elements in the flat vector, row by row.
    pub range: Range<usize>,
}

impl ParamSpec {
    /// Whether it is a vector (a norm): starts at one and is not decayed.
    pub fn is_vector(&self) -> bool {
        self.shape.len() == 1
    }
}

/// Offsets of one block's tensors; fused neighbours are one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockRanges {
    pub input_norm: Range<usize>,
    pub qkv: Range<usize>,
    pub o: Range<usize>,
    pub post_norm: Range<usize>,
    pub gate_up: Range<usize>,
    pub down: Range<usize>,
}

/// All tensors of a model in their fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamLayout {
    params: Vec<ParamSpec>,
    len: usize,
    pub(crate) embedding: Range<usize>,
    pub(crate) blocks: Vec<BlockRanges>,
    pub(crate) final_norm: Range<usize>,
    /// The output matrix; the embedding itself where they are tied.
    pub(crate) head: Range<usize>,
}

impl ParamLayout {
    /// The layout of `config`'s model.
    pub fn new(config: &ModelConfig) -> Self {
        let mut list = Builder { params: Vec::new(), len: 0 };
        let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
        let embedding = list.add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, hidden]);
        let blocks = (0..config.num_hidden_layers).map(|index| list.add_block(index, config, hidden, ffn)).collect();
        let final_norm = list.add("model.norm.weight".to_owned(), &[hidden]);
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => list.add("lm_head.weight".to_owned(), &[config.vocab_size, hidden]),
        };
        Self { params: list.params, len: list.len, embedding, blocks, final_norm, head }
    }

    /// The tensors in order.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// Elements of the flat vector: the number of trainable parameters.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it; never so for a valid config.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<&ParamSpec> {
        self.params.iter().find(|param| param.name == name)
    }
}

struct Builder {
    params: Vec<ParamSpec>,
    len: usize,
}

impl Builder {
    fn add(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        self.params.push(ParamSpec { name, shape: shape.to_vec(), range: range.clone() });
        range
    }

    fn add_block(&mut self, index: usize, config: &ModelConfig, hidden: usize, ffn: usize) -> BlockRanges {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let input_norm = self.add(name("input_layernorm"), &[hidden]);
        let q = self.add(name("self_attn.q_proj"), &[config.q_size(), hidden]);
        self.add(name("self_attn.k_proj"), &[config.kv_size(), hidden]);
        let v = self.add(name("self_attn.v_proj"), &[config.kv_size(), hidden]);
        let o = self.add(name("self_attn.o_proj"), &[hidden, config.q_size()]);
        let post_norm = self.add(name("post_attention_layernorm"), &[hidden]);
        let gate = self.add(name("mlp.gate_proj"), &[ffn, hidden]);
        let up = self.add(name("mlp.up_proj"), &[ffn, hidden]);
        let down = self.add(name("mlp.down_proj"), &[hidden, ffn]);
        BlockRanges { input_norm, qkv: q.start..v.end, o, post_norm, gate_up: gate.start..up.end, down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_tile_the_vector_and_fused_ones_are_neighbours() {
        for tie_word_embeddings in [true, false] {
            let config = ModelConfig { tie_word_embeddings, ..ModelConfig::default() };
            let layout = ParamLayout::new(&config);
            let mut end = 0;
            for param in layout.params() {
                assert_eq!(param.range.start, end, "{}", param.name);
                assert_eq!(param.range.len(), param.shape.iter().product::<usize>());
                end = param.range.end;
            }
            assert_eq!(end, layout.len());
            let per_block = 2 * 256 + 256 * (256 + 128 + 128 + 256) + 3 * 256 * 704;
            let heads = if tie_word_embeddings { 1 } else { 2 };
            assert_eq!(layout.len(), heads * 8192 * 256 + 6 * per_block + 256);
            assert_eq!(layout.find("lm_head.weight").is_some(), !tie_word_embeddings);
            assert_eq!(layout.blocks[5].qkv.len(), (256 + 128 + 128) * 256);
            assert_eq!(layout.blocks[5].gate_up.len(), 2 * 704 * 256);
        }
    }
}
