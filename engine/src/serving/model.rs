//! A model as it is served: config and packed weights, immutable.

use super::ServingError;
use super::gguf_model::{self, GgufSource};
use super::source::{FolderSource, TensorSource, WeightsSource};
use crate::config::ModelConfig;
use crate::gguf::GgufFile;
use crate::hf_folder::{FolderConfig, ModelFolder};
use crate::layout::ParamLayout;
use crate::params::Weights;
use crate::quant::{Linear, Matrix, WeightArena};

/// Weights of one decoder block. Rotary pairs are `(i, i + head_dim / 2)`, as in Hugging Face's layout.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    /// Query, key and value rows in this order.
    pub(super) qkv: Linear,
    pub(super) attention_output: Linear,
    pub(super) post_norm: Vec<f32>,
    /// Gate and up rows in this order.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// A model ready to be served.
#[derive(Debug)]
pub struct ServingModel {
    config: ModelConfig,
    /// The input embedding where it is not the head itself.
    embedding: Option<Matrix>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Vec<f32>,
    pub(super) head: Linear,
    notes: Vec<String>,
}

impl ServingModel {
    /// Packs the weights of a GGUF file of the architecture `llama` in the formats that they are stored in.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ServingError> {
        let config = gguf_model::config(file)?;
        Self::build(config.clone(), &mut GgufSource { file, config: &config })
    }

    /// Looks whether a GGUF file holds a model that can be served, without touching its weights.
    pub fn check_gguf(file: &GgufFile) -> Result<(), ServingError> {
        let config = gguf_model::config(file)?;
        let source = GgufSource { file, config: &config };
        for param in ParamLayout::new(&config).params() {
            let (rows, columns) =
                if let [rows, columns] = param.shape[..] { (rows, columns) } else { (1, param.shape[0]) };
            source.format(&param.name, [rows, columns])?;
        }
        Ok(())
    }

    /// Packs the weights of a Hugging Face folder: as stored (F32, F16, BF16), or all as f32.
    pub fn from_folder(folder: &mut ModelFolder, as_f32: bool) -> Result<Self, ServingError> {
        let FolderConfig { config, notes } = folder.model_config()?;
        let model = Self::build(config, &mut FolderSource { folder, as_f32 })?;
        Ok(Self { notes, ..model })
    }

    /// Copies weights in training, to sample from them. `weights` has the layout of `config`.
    pub fn from_weights(config: &ModelConfig, weights: &Weights) -> Self {
        Self::build(config.clone(), &mut WeightsSource(weights)).expect("weights have the layout of their config")
    }

    fn build(config: ModelConfig, source: &mut impl TensorSource) -> Result<Self, ServingError> {
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let mut arena = arena_for(&config, source)?;
        let embedding = source.matrix(&mut arena, "model.embed_tokens.weight", [vocab, hidden])?;
        let layers = (0..config.num_hidden_layers).map(|index| Layer::read(index, &config, &mut arena, source));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let final_norm = source.vector("model.norm.weight", hidden)?;
        let (embedding, head) = match config.tie_word_embeddings {
            true => (None, embedding),
            false => (Some(embedding), source.matrix(&mut arena, "lm_head.weight", [vocab, hidden])?),
        };
        arena.finish().map_err(|source| ServingError::Allocate { source })?;
        let head = Linear::new(vec![head]);
        Ok(Self { config, embedding, layers, final_norm, head, notes: Vec::new() })
    }

    /// Shape of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What was not taken as the model's files say, for a log.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes of memory that the weights take.
    pub fn weight_bytes(&self) -> u64 {
        let norms = |layer: &Layer| size_of_val(&layer.input_norm[..]) + size_of_val(&layer.post_norm[..]);
        let layers = self.layers.iter().map(|layer| {
            let matrices = [&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down];
            matrices.iter().map(|matrix| matrix.num_bytes()).sum::<u64>() + norms(layer) as u64
        });
        let embedding = self.embedding.as_ref().map_or(0, Matrix::num_bytes);
        layers.sum::<u64>() + self.head.num_bytes() + embedding + size_of_val(&self.final_norm[..]) as u64
    }

    /// Writes the embedding of `token` to `out`, `[hidden_size]`.
    pub(super) fn embed(&self, token: u32, out: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(self.head.first()).row(token as usize, out);
    }
}

/// Memory for every matrix of the model, in the formats that `source` will give.
fn arena_for(config: &ModelConfig, source: &impl TensorSource) -> Result<WeightArena, ServingError> {
    let mut sizes = Vec::new();
    for param in ParamLayout::new(config).params() {
        if let [rows, columns] = param.shape[..] {
            sizes.push(Matrix::packed_bytes(source.format(&param.name, [rows, columns])?, (rows, columns)));
        }
    }
    WeightArena::for_sizes(sizes.into_iter()).map_err(|source| ServingError::Allocate { source })
}

impl Layer {
    fn read(
        index: usize,
        config: &ModelConfig,
        arena: &mut WeightArena,
        source: &mut impl TensorSource,
    ) -> Result<Self, ServingError> {
        let (hidden, ffn, kv) = (config.hidden_size, config.intermediate_size, config.kv_size());
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let mut matrix = |part: &str, shape| source.matrix(arena, &name(part), shape);
        let qkv = vec![
            matrix("self_attn.q_proj", [config.q_size(), hidden])?,
            matrix("self_attn.k_proj", [kv, hidden])?,
            matrix("self_attn.v_proj", [kv, hidden])?,
        ];
        let attention_output = matrix("self_attn.o_proj", [hidden, config.q_size()])?;
        let gate_up = vec![matrix("mlp.gate_proj", [ffn, hidden])?, matrix("mlp.up_proj", [ffn, hidden])?];
        let down = matrix("mlp.down_proj", [hidden, ffn])?;
        Ok(Self {
            input_norm: source.vector(&name("input_layernorm"), hidden)?,
            qkv: Linear::new(qkv),
            attention_output: Linear::new(vec![attention_output]),
            post_norm: source.vector(&name("post_attention_layernorm"), hidden)?,
            gate_up: Linear::new(gate_up),
            down: Linear::new(vec![down]),
        })
    }
}
