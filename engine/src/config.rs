//! The shape of a LLaMA-style decoder, in the names of Hugging Face's `config.json`.
//!
//! Owns reading, writing and validating it. Knows nothing of weights or arithmetic.

use serde::{Deserialize, Serialize};

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
#[serde(from = "HubConfig")]
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
    pub rope_scaling: Option<serde_json::Value>,
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

/// `config.json` as found on the hub: fields may be absent and mean their Hugging Face defaults.
#[derive(Deserialize)]
struct HubConfig {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rms_norm_eps: Option<f64>,
    tie_word_embeddings: Option<bool>,
    initializer_range: Option<f64>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    rope_scaling: Option<serde_json::Value>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<TokenIds>,
    #[serde(alias = "dtype")]
    torch_dtype: Option<String>,
}

/// Where transformers 5 writes the rotary base.
#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
}

impl From<HubConfig> for ModelConfig {
    fn from(hub: HubConfig) -> Self {
        let (theta, scaled) = match hub.rope_parameters {
            Some(rope) => (rope.rope_theta, rope.rope_type.filter(|kind| kind != "default")),
            None => (None, None),
        };
        let scaling = scaled.map(|kind| serde_json::json!({ "rope_type": kind }));
        Self {
            architectures: hub.architectures.unwrap_or_else(|| vec![ARCHITECTURE.to_owned()]),
            model_type: hub.model_type.unwrap_or_else(|| MODEL_TYPE.to_owned()),
            hidden_size: hub.hidden_size,
            intermediate_size: hub.intermediate_size,
            num_hidden_layers: hub.num_hidden_layers,
            num_attention_heads: hub.num_attention_heads,
            num_key_value_heads: hub.num_key_value_heads.unwrap_or(hub.num_attention_heads),
            head_dim: hub.head_dim.unwrap_or(hub.hidden_size / hub.num_attention_heads.max(1)),
            vocab_size: hub.vocab_size,
            max_position_embeddings: hub.max_position_embeddings.unwrap_or(2048),
            rope_theta: hub.rope_theta.or(theta).unwrap_or(10_000.0),
            rms_norm_eps: hub.rms_norm_eps.unwrap_or(1e-6),
            tie_word_embeddings: hub.tie_word_embeddings.unwrap_or(false),
            initializer_range: hub.initializer_range.unwrap_or(0.02),
            hidden_act: hub.hidden_act.unwrap_or_else(|| HIDDEN_ACT.to_owned()),
            attention_bias: hub.attention_bias.unwrap_or(false),
            mlp_bias: hub.mlp_bias.unwrap_or(false),
            rope_scaling: hub.rope_scaling.filter(|value| !value.is_null()).or(scaling),
            bos_token_id: hub.bos_token_id,
            eos_token_id: hub.eos_token_id,
            dtype: hub.torch_dtype,
        }
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
        assert!(refusal(|c| c.architectures = vec!["Bert".to_owned()]).starts_with("architectures is"));
        assert!(
            refusal(|c| c.rope_scaling = Some(serde_json::json!({"rope_type": "yarn"}))).starts_with("rope_scaling is")
        );
        assert!(refusal(|c| c.attention_bias = true).starts_with("attention_bias is true"));
        assert!(refusal(|c| c.vocab_size = 1 << 30).starts_with("vocab_size is 1073741824"));
    }

    #[test]
    fn a_hub_config_reads_with_its_defaults() {
        let text = r#"{"architectures":["LlamaForCausalLM"],"hidden_size":576,"intermediate_size":1536,
            "num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"vocab_size":49152,
            "rope_parameters":{"rope_theta":100000.0,"rope_type":"default"},"eos_token_id":[1,2],"use_cache":true}"#;
        let config: ModelConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.head_dim, config.rope_theta, config.rms_norm_eps), (64, 100_000.0, 1e-6));
        assert_eq!(config.eos_token_id.as_ref().unwrap().to_vec(), [1, 2]);
    }

    #[test]
    fn writing_and_reading_gives_the_same_config() {
        let config = ModelConfig { eos_token_id: Some(TokenIds::One(7)), ..ModelConfig::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    }
}
