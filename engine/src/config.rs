//! The shape of a LLaMA-style decoder, in the names of Hugging Face's `config.json`.
//!
//! Owns writing and validating it; `hub` reads what tools write. Knows nothing of weights or arithmetic.

mod hub;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Why a config cannot be used: the field and the remedy.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConfigError {
    /// A field has a value this engine cannot compute with.
    #[error("{field} {problem}; {remedy}")]
    Invalid {
        /// Name in `config.json`.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
        /// What to write instead.
        remedy: String,
    },
}

/// One token id or several, as `eos_token_id` may be either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenIds {
    /// A single id.
    One(u32),
    /// Any of these.
    Many(Vec<u32>),
}

impl TokenIds {
    /// The ids as a list.
    pub fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![*id],
            Self::Many(ids) => ids.clone(),
        }
    }
}

/// Shape of a LLaMA-style decoder. Read and written as Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ModelConfig {
    /// Class names of the model; `LlamaForCausalLM`.
    pub architectures: Vec<String>,
    /// Family of the model; `llama`.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Entries of the embedding.
    pub vocab_size: usize,
    /// Longest sequence the model is meant for, in tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Whether input and output embeddings are one matrix.
    pub tie_word_embeddings: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Activation of the feed-forward layer; `silu`.
    pub hidden_act: String,
    /// Whether the attention projections have biases; they may not.
    pub attention_bias: bool,
    /// Whether the feed-forward projections have biases; they may not.
    pub mlp_bias: bool,
    /// Rotary scaling; must be absent or of type `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<Value>,
    /// Token that begins a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<TokenIds>,
    /// Number format of the stored weights.
    #[serde(rename = "torch_dtype", skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
}

impl TryFrom<Map<String, Value>> for ModelConfig {
    type Error = ConfigError;

    fn try_from(config: Map<String, Value>) -> Result<Self, ConfigError> {
        hub::read(&config)
    }
}

const ARCHITECTURE: &str = "LlamaForCausalLM";
const MODEL_TYPE: &str = "llama";
const HIDDEN_ACT: &str = "silu";

impl Default for ModelConfig {
    /// A small model (a few million parameters), the base for `..Default::default()`.
    fn default() -> Self {
        Self {
            architectures: vec![ARCHITECTURE.to_owned()],
            model_type: MODEL_TYPE.to_owned(),
            hidden_size: 256,
            intermediate_size: 704,
            num_hidden_layers: 6,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 64,
            vocab_size: 8192,
            max_position_embeddings: 512,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            initializer_range: 0.02,
            hidden_act: HIDDEN_ACT.to_owned(),
            attention_bias: false,
            mlp_bias: false,
            rope_scaling: None,
            bos_token_id: None,
            eos_token_id: None,
            dtype: Some("float32".to_owned()),
        }
    }
}

impl ModelConfig {
    /// The content of a `config.json`: with the rotary base both where transformers 5 looks for it and where all before did.
    pub fn to_json(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut config)) = serde_json::to_value(self) else { unreachable!("a config is an object") };
        if self.rope_scaling.is_none() {
            config.insert("rope_parameters".to_owned(), json!({"rope_theta": self.rope_theta, "rope_type": "default"}));
        }
        config
    }

    /// Width of all query heads together.
    pub fn q_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn kv_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Query heads that share one key and value head.
    pub fn heads_per_group(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// Refuses every shape the engine cannot compute, naming the field and the remedy.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_sizes()?;
        self.validate_heads()?;
        self.validate_scalars()?;
        self.validate_family()
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, value) in sizes {
            if value == 0 {
                return Err(invalid(field, "is 0".to_owned(), "write a number of 1 or more"));
            }
            if value > MAX_DIM {
                return Err(invalid(field, format!("is {value}"), "write a number below 16777216"));
            }
        }
        Ok(())
    }

    fn validate_heads(&self) -> Result<(), ConfigError> {
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(groups) {
            return Err(invalid(
                "num_key_value_heads",
                format!("is {groups}, which does not divide num_attention_heads {heads}"),
                "write a divisor of num_attention_heads",
            ));
        }
        if self.head_dim * heads != self.hidden_size && !self.hidden_size.is_multiple_of(heads) {
            return Err(invalid(
                "num_attention_heads",
                format!("is {heads}, which does not divide hidden_size {}", self.hidden_size),
                "write a divisor of hidden_size, or name the head width in head_dim",
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(invalid(
                "head_dim",
                format!("is {}, which rotary embeddings cannot halve", self.head_dim),
                "write an even number",
            ));
        }
        Ok(())
    }

    fn validate_scalars(&self) -> Result<(), ConfigError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.rope_theta) {
            return Err(invalid(
                "rope_theta",
                format!("is {}", self.rope_theta),
                "write a number above 0, such as 10000",
            ));
        }
        if !positive(self.rms_norm_eps) {
            return Err(invalid(
                "rms_norm_eps",
                format!("is {}", self.rms_norm_eps),
                "write a number above 0, such as 1e-5",
            ));
        }
        if !positive(self.initializer_range) {
            let problem = format!("is {}", self.initializer_range);
            return Err(invalid("initializer_range", problem, "write a number above 0, such as 0.02"));
        }
        Ok(())
    }

    fn validate_family(&self) -> Result<(), ConfigError> {
        if self.architectures.iter().all(|name| name != ARCHITECTURE) {
            let problem = format!("is {:?}", self.architectures);
            return Err(invalid("architectures", problem, "use a model of the class LlamaForCausalLM"));
        }
        if self.model_type != MODEL_TYPE {
            return Err(invalid("model_type", format!("is {:?}", self.model_type), "use a model of the type llama"));
        }
        if self.hidden_act != HIDDEN_ACT {
            return Err(invalid("hidden_act", format!("is {:?}", self.hidden_act), "use a model with silu"));
        }
        if self.attention_bias {
            return Err(invalid("attention_bias", "is true".to_owned(), "use a model without attention biases"));
        }
        if self.mlp_bias {
            return Err(invalid("mlp_bias", "is true".to_owned(), "use a model without feed-forward biases"));
        }
        if let Some(scaling) = &self.rope_scaling {
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(|kind| kind.as_str());
            if kind != Some("default") {
                return Err(invalid("rope_scaling", format!("is {scaling}"), "use a model without rotary scaling"));
            }
        }
        Ok(())
    }
}

/// Above this a dimension is a mistake, and products of three of them still fit 64 bits with room.
const MAX_DIM: usize = (1 << 24) - 1;

fn invalid(field: &'static str, problem: String, remedy: &str) -> ConfigError {
    ConfigError::Invalid { field, problem, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut ModelConfig)) -> String {
        let mut config = ModelConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_default_shape_is_valid() {
        assert_eq!(ModelConfig::default().validate(), Ok(()));
    }

    #[test]
    fn every_refusal_names_the_field_and_the_remedy() {
        assert_eq!(refusal(|c| c.hidden_size = 0), "hidden_size is 0; write a number of 1 or more");
        assert_eq!(
            refusal(|c| c.num_key_value_heads = 3),
            "num_key_value_heads is 3, which does not divide num_attention_heads 4; write a divisor of num_attention_heads"
        );
        assert!(
            refusal(|c| c.hidden_size = 258)
                .starts_with("num_attention_heads is 4, which does not divide hidden_size 258")
        );
        assert!(refusal(|c| c.head_dim = 63).starts_with("head_dim is 63"));
        assert!(refusal(|c| c.rope_theta = f64::NAN).starts_with("rope_theta is NaN"));
        assert!(refusal(|c| c.rms_norm_eps = -1.0).starts_with("rms_norm_eps is -1"));
        assert!(refusal(|c| c.hidden_act = "gelu".to_owned()).starts_with("hidden_act is \"gelu\""));
        assert!(refusal(|c| c.model_type = "mistral".to_owned()).starts_with("model_type is \"mistral\""));
        assert!(refusal(|c| c.architectures = vec!["Bert".to_owned()]).starts_with("architectures is"));
        assert!(
            refusal(|c| c.rope_scaling = Some(serde_json::json!({"rope_type": "yarn"}))).starts_with("rope_scaling is")
        );
        assert!(refusal(|c| c.attention_bias = true).starts_with("attention_bias is true"));
        assert!(refusal(|c| c.vocab_size = 1 << 30).starts_with("vocab_size is 1073741824"));
    }
}
