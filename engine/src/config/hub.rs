//! `config.json` as tools write it, into a [`ModelConfig`].
//!
//! Owns how each key is read: as transformers 5.24 reads it for LLaMA, and where versions differ so that what any of them
//! wrote can be read. A key that changes what LLaMA computes and is not computed here is refused by name; a key that means
//! nothing to LLaMA is passed over.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{ARCHITECTURE, ConfigError, HIDDEN_ACT, MODEL_TYPE, ModelConfig, TokenIds, invalid};

/// What `AutoModelForCausalLM` takes where the file names no class.
const BASE_MODEL: &str = "LlamaModel";
/// Another name of [`HIDDEN_ACT`].
const SWISH: &str = "swish";

pub(super) fn read(config: &Map<String, Value>) -> Result<ModelConfig, ConfigError> {
    let keys = Keys(config);
    refuse_uncomputed(keys)?;
    let (rope_theta, rope_scaling) = rope(keys)?;
    let (hidden_size, num_attention_heads) = (keys.needed("hidden_size")?, keys.needed("num_attention_heads")?);
    let hidden_act = keys.text("hidden_act")?.filter(|name| *name != SWISH).unwrap_or(HIDDEN_ACT);
    Ok(ModelConfig {
        architectures: architectures(keys)?,
        model_type: model_type(keys)?,
        hidden_size,
        intermediate_size: keys.needed("intermediate_size")?,
        num_hidden_layers: keys.needed("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads: keys.size("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim: keys.size("head_dim")?.unwrap_or(hidden_size / num_attention_heads.max(1)),
        vocab_size: keys.needed("vocab_size")?,
        max_position_embeddings: keys.size("max_position_embeddings")?.unwrap_or(2048),
        rope_theta,
        rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
        tie_word_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
        initializer_range: keys.number("initializer_range")?.unwrap_or(0.02),
        hidden_act: hidden_act.to_owned(),
        attention_bias: keys.flag("attention_bias")?.unwrap_or(false),
        mlp_bias: keys.flag("mlp_bias")?.unwrap_or(false),
        rope_scaling,
        bos_token_id: keys.ids("bos_token_id").first().copied(),
        eos_token_id: match keys.ids("eos_token_id")[..] {
            [] => None,
            [id] => Some(TokenIds::One(id)),
            ref ids => Some(TokenIds::Many(ids.to_vec())),
        },
        dtype: dtype(keys),
    })
}

/// The base model's class stands for the causal one: transformers goes by `model_type` alone.
fn architectures(keys: Keys<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(value) = keys.get("architectures") else { return Ok(vec![ARCHITECTURE.to_owned()]) };
    let names = value.as_array().map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    match names {
        Some(names) if names.is_empty() || names == [BASE_MODEL] => Ok(vec![ARCHITECTURE.to_owned()]),
        Some(names) => Ok(names.into_iter().map(str::to_owned).collect()),
        None => Err(invalid("architectures", format!("is {value}"), "write a list of class names")),
    }
}

fn model_type(keys: Keys<'_>) -> Result<String, ConfigError> {
    match keys.text("model_type")? {
        Some(name) => Ok(name.to_owned()),
        None if keys.get("architectures").is_some() => Ok(MODEL_TYPE.to_owned()),
        None => Err(invalid("model_type", "is missing".to_owned(), "write \"llama\" if that is what the model is")),
    }
}

/// The newer `dtype` beats `torch_dtype`; either may be written with the module's name.
fn dtype(keys: Keys<'_>) -> Option<String> {
    let name = ["dtype", "torch_dtype"].into_iter().find_map(|key| keys.get(key)?.as_str())?;
    Some(name.strip_prefix("torch.").unwrap_or(name).to_owned())
}

/// The base of the rotary frequencies, and their scaling where there is one.
///
/// transformers 5 writes `rope_parameters`, which holds the base too; before, the base was `rope_theta` and scaling
/// `rope_scaling`. `rope_scaling` that says anything takes the place of `rope_parameters`; a base inside of either beats the
/// one outside.
fn rope(keys: Keys<'_>) -> Result<(f64, Option<Value>), ConfigError> {
    let says_something = |value: &&Map<String, Value>| !value.is_empty();
    let map = |key| match keys.get(key) {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map).filter(says_something)),
        Some(other) => Err(invalid(key, format!("is {other}"), "write null, or an object with rope_type")),
    };
    let empty = Map::new();
    let parameters = map("rope_scaling")?.or(map("rope_parameters")?).unwrap_or(&empty);
    let inner = Keys(parameters);
    let theta = match inner.number("rope_theta")? {
        Some(theta) => theta,
        None => keys.number("rope_theta")?.unwrap_or(10_000.0),
    };
    let kind = match inner.text("rope_type")? {
        Some(kind) => kind,
        None => inner.text("type")?.unwrap_or("default"),
    };
    for keys in [inner, keys] {
        if let Some(share) = keys.number("partial_rotary_factor")?.filter(|share| *share != 1.0) {
            let remedy = "use a model that rotates whole heads";
            return Err(invalid("partial_rotary_factor", format!("is {share}"), remedy));
        }
    }
    Ok((theta, (kind != "default").then(|| Value::Object(parameters.clone()))))
}

/// Keys that change the arithmetic, in a way that this engine does not compute.
fn refuse_uncomputed(keys: Keys<'_>) -> Result<(), ConfigError> {
    for key in ["quantization_config", "compression_config"] {
        if let Some(settings) = keys.get(key) {
            let method = settings.get("quant_method").and_then(Value::as_str).unwrap_or("of no named method");
            let remedy = "use the model before it was quantised, or its GGUF file in F16, BF16, Q8_0, Q4_0 or Q4_1";
            return Err(invalid(key, format!("is there ({method})"), remedy));
        }
    }
    let used = keys.flag("use_sliding_window")?.unwrap_or(true);
    if let Some(window) = keys.size("sliding_window")?.filter(|window| used && *window > 0) {
        let positions = keys.size("max_position_embeddings")?.unwrap_or(2048);
        if window < positions {
            let problem = format!("is {window}, below max_position_embeddings {positions}");
            return Err(invalid("sliding_window", problem, "use a model whose attention reaches over the whole text"));
        }
    }
    let kinds = keys.get("layer_types").and_then(Value::as_array);
    if let Some(kind) = kinds.into_iter().flatten().find(|kind| **kind != "full_attention") {
        return Err(invalid("layer_types", format!("has {kind}"), "use a model with full attention in every layer"));
    }
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        if let Some(experts) = keys.size(key)?.filter(|experts| *experts > 0) {
            return Err(invalid(key, format!("is {experts}"), "use a model without experts"));
        }
    }
    Ok(())
}

/// An object's keys. One that is null is as good as absent.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn needed(self, key: &'static str) -> Result<usize, ConfigError> {
        self.size(key)?.ok_or_else(|| invalid(key, "is missing".to_owned(), "copy it from the model's own config.json"))
    }

    /// A whole number; tools that go through floats write `256.0`.
    fn size(self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let whole = value.as_u64().or_else(|| whole(value.as_f64()?)).and_then(|number| usize::try_from(number).ok());
        whole.map(Some).ok_or_else(|| invalid(key, format!("is {value}"), "write a whole number"))
    }

    fn number(self, key: &'static str) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| invalid(key, format!("is {value}"), "write a number"))
    }

    fn flag(self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| invalid(key, format!("is {value}"), "write true or false"))
    }

    fn text(self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| invalid(key, format!("is {value}"), "write a text"))
    }

    /// Token ids, one or a list. What can be no id (-1, null) says that there is none.
    fn ids(self, key: &str) -> Vec<u32> {
        let id =
            |value: &Value| value.as_u64().or_else(|| whole(value.as_f64()?)).and_then(|id| u32::try_from(id).ok());
        match self.get(key) {
            Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
            Some(one) => id(one).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}
