//! A GGUF file of the architecture `llama` read as config and tensors.
//!
//! Owns the names of llama.cpp's metadata and tensors and the order of its rotary rows. Refuses what would change the
//! arithmetic without being computed here (scaled or partial rotary embeddings, experts, biases).
//! Names: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use super::ServingError;
use super::source::{Stored, TensorSource};
use crate::config::{ModelConfig, TokenIds};
use crate::gguf::{GgufError, GgufFile, TensorInfo, special_id};
use crate::quant::{Format, Matrix, WeightArena, dequantise};

const ARCHITECTURE: &str = "llama";
/// What llama.cpp takes where a file does not name the base.
const DEFAULT_ROPE_BASE: f64 = 10_000.0;

/// Names outside of the blocks, Hugging Face's and llama.cpp's.
const OUTER_TENSORS: [(&str, &str); 3] =
    [("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")];
/// Names inside of a block.
const BLOCK_TENSORS: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Reads and checks the shape of the model in `file`.
pub(super) fn config(file: &GgufFile) -> Result<ModelConfig, ServingError> {
    let metadata = file.metadata();
    let found = metadata.str("general.architecture")?;
    if found != ARCHITECTURE {
        return Err(ServingError::Architecture { found: found.to_owned() });
    }
    refuse_unsupported(file)?;
    refuse_unknown_tensors(file)?;
    let size = |key: &str| {
        let found = metadata.optional_u64_of_every_layer(&llama(key))?;
        Ok::<_, GgufError>(found.map(|value| value as usize))
    };
    let needed = |key: &str| size(key)?.ok_or_else(|| GgufError::MissingKey(llama(key)));
    let number = |key: &str| metadata.optional_f64(&llama(key));
    let (hidden_size, num_attention_heads) = (needed("embedding_length")?, needed("attention.head_count")?);
    let rms_norm_eps = number("attention.layer_norm_rms_epsilon")?
        .ok_or_else(|| GgufError::MissingKey(llama("attention.layer_norm_rms_epsilon")))?;
    let vocab_size = vocab_size(file)?;
    // An id that is none is the tokenizer's to tell of.
    let id = |name: &str| special_id(metadata, name, vocab_size).ok().flatten();
    let config = ModelConfig {
        hidden_size,
        intermediate_size: needed("feed_forward_length")?,
        num_hidden_layers: needed("block_count")?,
        num_attention_heads,
        num_key_value_heads: size("attention.head_count_kv")?.unwrap_or(num_attention_heads),
        head_dim: size("attention.key_length")?.unwrap_or(hidden_size / num_attention_heads.max(1)),
        vocab_size,
        max_position_embeddings: needed("context_length")?,
        rope_theta: number("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_BASE),
        rms_norm_eps,
        tie_word_embeddings: file.find("output.weight").is_none(),
        bos_token_id: id("bos"),
        eos_token_id: id("eos").map(TokenIds::One),
        dtype: None,
        ..ModelConfig::default()
    };
    config.validate()?;
    check_head_width(file, &config)?;
    Ok(config)
}

fn llama(key: &str) -> String {
    format!("{ARCHITECTURE}.{key}")
}

fn refuse_unsupported(file: &GgufFile) -> Result<(), ServingError> {
    let unsupported = |what: String, remedy| Err(ServingError::Unsupported { what, remedy });
    if let Some(parts) = file.metadata().optional_u64("split.count")?.filter(|parts| *parts > 1) {
        return unsupported(
            format!("a model in {parts} files"),
            "join them (llama-gguf-split --merge) and use the one file",
        );
    }
    if let Some(kind) = file.metadata().optional_str("general.type")?.filter(|kind| *kind != "model") {
        return unsupported(format!("general.type {kind:?}"), "use the file of the model itself");
    }
    let key = llama("rope.scale_linear");
    if let Some(scale) = file.metadata().optional_f64(&key)?.filter(|scale| *scale != 1.0) {
        return unsupported(format!("{key} {scale}"), "use a model without rotary scaling");
    }
    let key = llama("rope.scaling.type");
    if let Some(kind) = file.metadata().optional_str(&key)?.filter(|kind| *kind != "none") {
        return unsupported(format!("{key} {kind:?}"), "use a model without rotary scaling");
    }
    if file.find("rope_freqs.weight").is_some() {
        return unsupported("rotary scaling (tensor rope_freqs.weight)".into(), "use a model without rotary scaling");
    }
    if let Some(experts) = file.metadata().optional_u64(&llama("expert_count"))?.filter(|count| *count > 0) {
        return unsupported(format!("{} {experts}", llama("expert_count")), "use a model without experts");
    }
    Ok(())
}

/// A bias, a norm or a matrix that no operation reads would change every answer.
fn refuse_unknown_tensors(file: &GgufFile) -> Result<(), ServingError> {
    let known = |name: &str| match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        None => OUTER_TENSORS.iter().any(|(_, gguf)| name.strip_suffix(".weight") == Some(gguf)),
        Some((_, part)) => BLOCK_TENSORS.iter().any(|(_, gguf)| part.strip_suffix(".weight") == Some(gguf)),
    };
    match file.tensors().iter().find(|tensor| !known(&tensor.name)) {
        Some(tensor) => Err(ServingError::Unsupported {
            what: format!("the tensor {}", tensor.name),
            remedy: "use a model that has only the tensors of a LLaMA-style decoder",
        }),
        None => Ok(()),
    }
}

/// Rows of the embedding, which the tokenizer's list and `llama.vocab_size` must agree with.
fn vocab_size(file: &GgufFile) -> Result<usize, ServingError> {
    let (info, _) = file.tensor("token_embd.weight")?;
    let rows = matrix_shape(info)?[0];
    let contradiction = |key: String, len| {
        Err(ServingError::Contradiction { key, problem: format!("is {len} but token_embd.weight has {rows} rows") })
    };
    let key = llama("vocab_size");
    if let Some(len) = file.metadata().optional_u64(&key)?.filter(|len| *len != rows as u64) {
        return contradiction(key, len);
    }
    let key = "tokenizer.ggml.tokens";
    match file.metadata().optional_strings(key)?.map(|tokens| tokens.len()).filter(|len| *len != rows) {
        Some(len) => contradiction(format!("the length of {key}"), len as u64),
        None => Ok(rows),
    }
}

/// Values as wide as keys, all of a head rotated.
fn check_head_width(file: &GgufFile, config: &ModelConfig) -> Result<(), ServingError> {
    for key in ["attention.value_length", "rope.dimension_count"].map(llama) {
        if let Some(width) = file.metadata().optional_u64(&key)?.filter(|width| *width != config.head_dim as u64) {
            let what = format!("{key} {width} with heads of {}", config.head_dim);
            return Err(ServingError::Unsupported {
                what,
                remedy: "use a model that rotates whole heads of one width",
            });
        }
    }
    Ok(())
}

fn matrix_shape(info: &TensorInfo) -> Result<[usize; 2], ServingError> {
    info.matrix_shape().map(|(rows, columns)| [rows, columns]).ok_or_else(|| ServingError::Shape {
        name: info.name.clone(),
        expected: vec![0, 0],
        found: info.dimensions.iter().rev().map(|&dimension| dimension as usize).collect(),
    })
}

/// The tensors of a GGUF file under Hugging Face's names.
pub(super) struct GgufSource<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) config: &'a ModelConfig,
}

impl GgufSource<'_> {
    fn tensor(&self, name: &str, expected: [usize; 2]) -> Result<(&TensorInfo, &[u8]), ServingError> {
        let (info, bytes) = self.file.tensor(&gguf_name(name))?;
        let found = matrix_shape(info)?;
        if found != expected {
            return Err(ServingError::Shape {
                name: info.name.clone(),
                expected: expected.to_vec(),
                found: found.to_vec(),
            });
        }
        Ok((info, bytes))
    }
}

impl TensorSource for GgufSource<'_> {
    fn format(&self, name: &str, shape: [usize; 2]) -> Result<Format, ServingError> {
        Ok(self.tensor(name, shape)?.0.format()?)
    }

    fn matrix(&mut self, arena: &mut WeightArena, name: &str, shape: [usize; 2]) -> Result<Matrix, ServingError> {
        let (info, bytes) = self.tensor(name, shape)?;
        let head_dim = self.config.head_dim;
        let rotated = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
        let stored = Stored { name: &info.name, format: info.format()?, shape, bytes };
        stored.pack(arena, |row| if rotated { interleaved_row(row, head_dim) } else { row })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ServingError> {
        let (info, bytes) = self.tensor(name, [1, len])?;
        let mut values = vec![0.0; len];
        dequantise(info.format()?, bytes, &mut values);
        Ok(values)
    }
}

/// llama.cpp's converter stores the rows of each query and key head so that rotary pairs are neighbours `(2i, 2i + 1)`;
/// here they are `(i, i + head_dim / 2)`. Gives the stored row of row `row`.
fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
    head * head_dim + 2 * pair + half
}

/// `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`.
fn gguf_name(name: &str) -> String {
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    let of =
        |table: &[(&str, &'static str)], hub: &str| table.iter().find(|(ours, _)| *ours == hub).map(|(_, gguf)| *gguf);
    let block = stem.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let renamed = match block {
        Some((layer, part)) => of(&BLOCK_TENSORS, part).map(|gguf| format!("blk.{layer}.{gguf}")),
        None => of(&OUTER_TENSORS, stem).map(str::to_owned),
    };
    format!("{}.weight", renamed.unwrap_or_else(|| stem.to_owned()))
}
