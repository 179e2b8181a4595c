//! How a model wants to be sampled where a request says nothing: the fields of `generation_config.json` in its folder that vLLM
//! takes (`--generation-config auto`, `ModelConfig.get_diff_sampling_param`), but for `max_new_tokens`.
//!
//! Owns the file's meaning for sampling; the ids that end a text are the tokenizer's. A GGUF file has no such file beside it.

use std::path::Path;

use serde::Deserialize;

use crate::request::GenerationOptions;

#[cfg(test)]
mod tests;

/// Name of the file.
pub const FILE: &str = "generation_config.json";

/// Why the file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum DefaultsError {
    /// It is there, but cannot be read.
    #[error("could not read {FILE}")]
    Read(#[source] std::io::Error),
    /// It is not the JSON that it should be.
    #[error("{FILE} is not a generation config: {0}")]
    Parse(String),
    /// It asks for what cannot be done.
    #[error("{FILE}: {0}")]
    OutOfRange(String),
}

/// The model's own settings; none where the file says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SamplingDefaults {
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// Share of probability to keep.
    pub top_p: Option<f32>,
    /// Tokens to keep; 0 or -1 keeps all.
    pub top_k: Option<i64>,
    /// Least share of the likeliest token's probability.
    pub min_p: Option<f32>,
    /// Divides the logits of tokens seen.
    pub repetition_penalty: Option<f32>,
}

impl SamplingDefaults {
    /// From a model folder; one without the file says nothing.
    ///
    /// # Errors
    /// When the file is damaged, or a value is one that a request would be refused for.
    pub fn read(folder: &Path) -> Result<Self, DefaultsError> {
        let text = match std::fs::read(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(DefaultsError::Read(error)),
        };
        let read: Self = serde_json::from_slice(&text).map_err(|error| DefaultsError::Parse(error.to_string()))?;
        // By the same check as a request; no token is named, so the vocabulary's size is of no account.
        let checked = read.fill(GenerationOptions::default()).sampling(0);
        checked.map(|_| read).map_err(|error| DefaultsError::OutOfRange(error.to_string()))
    }

    /// A request's options, with these where it has none of its own.
    #[must_use]
    pub fn fill(&self, options: GenerationOptions) -> GenerationOptions {
        GenerationOptions {
            temperature: options.temperature.or(self.temperature),
            top_p: options.top_p.or(self.top_p),
            top_k: options.top_k.or(self.top_k),
            min_p: options.min_p.or(self.min_p),
            repetition_penalty: options.repetition_penalty.or(self.repetition_penalty),
            ..options
        }
    }
}
