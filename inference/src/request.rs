//! What a client may ask for, checked once at the border: a `GenerateRequest` can be run, whatever is refused is
//! refused here.
//!
//! The same for HTTP and gRPC. Never touches the wire of either, and never the engine.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{error::ApiError, sampling::SamplingParams};

#[cfg(test)]
mod tests;

/// Most answers to one prompt, OpenAI's own limit.
pub const MAX_CHOICES: u64 = 128;
/// Most stop strings, OpenAI's own limit: each is searched for in every piece of text.
pub const MAX_STOP_STRINGS: usize = 4;
/// Most alternatives per position, OpenAI's own limit.
pub const MAX_TOP_LOGPROBS: u64 = 20;

/// Sizes of the served model and of the queue before it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest prompt plus answer, in tokens.
    pub max_model_len: usize,
    /// Entries of the model's vocabulary; every token id is below it.
    pub vocab_size: usize,
    /// Sequences that may wait.
    pub max_queue_len: usize,
}

/// How to generate, as clients write it; absent fields mean OpenAI's defaults. Ranges are not checked yet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GenerationOptions {
    /// Softmax temperature; 0 takes the likeliest token.
    pub temperature: Option<f32>,
    /// Keeps the likeliest tokens whose probabilities sum to this.
    pub top_p: Option<f32>,
    /// Keeps this many of the likeliest tokens; 0 or -1 keeps all.
    pub top_k: Option<i64>,
    /// Keeps tokens at least this share as likely as the likeliest.
    pub min_p: Option<f32>,
    /// Start of the random numbers; none takes a new one each time.
    pub seed: Option<i64>,
    /// Taken off the logit of each token in the answer.
    pub presence_penalty: Option<f32>,
    /// Taken off the logit of each token in the answer, for each time it is there.
    pub frequency_penalty: Option<f32>,
    /// Divides the logits of tokens seen.
    pub repetition_penalty: Option<f32>,
    /// Added to the logits of single tokens, by id.
    pub logit_bias: Option<BTreeMap<u32, f32>>,
    /// Texts that end the answer and do not belong to it.
    pub stop: Option<StopStrings>,
    /// Answers to each prompt.
    pub n: Option<u64>,
    /// Whether to go on after a token that ends a text.
    pub ignore_eos: Option<bool>,
}

/// One stop string or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub enum StopStrings {
    /// A single one.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

/// A checked request for one answer.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Token ids, at least one, all of the vocabulary.
    pub prompt: Vec<u32>,
    /// Most tokens of the answer, at least one; fits the context together with the prompt.
    pub max_tokens: usize,
    /// How to choose tokens.
    pub sampling: SamplingParams,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Alternatives to report per position; none reports no log-probabilities at all.
    pub top_logprobs: Option<usize>,
    /// Whether to go on after a token that ends a text.
    pub ignore_eos: bool,
}

impl GenerationOptions {
    /// The checked requests for `n` answers to each of `prompts`, the answers to one prompt side by side.
    ///
    /// `max_tokens` none takes what the context leaves; `prompt_param` is what errors call the prompt.
    ///
    /// # Errors
    /// Names the first field that cannot be honoured.
    pub fn requests(
        &self,
        prompts: Vec<Vec<u32>>,
        max_tokens: Option<u64>,
        top_logprobs: Option<u64>,
        prompt_param: &'static str,
        limits: &Limits,
    ) -> Result<Vec<GenerateRequest>, ApiError> {
        let choices = in_range("n", self.n.unwrap_or(1), 1, MAX_CHOICES)? as usize;
        let top_logprobs = top_logprobs.map(|top| in_range("top_logprobs", top, 0, MAX_TOP_LOGPROBS)).transpose()?;
        let sampling = self.sampling(limits.vocab_size)?;
        let stop = self.stop_strings()?;
        if prompts.len() * choices > limits.max_queue_len {
            let message = format!(
                "the request asks for {} answers, more than the {} that may wait; send fewer prompts or a smaller n",
                prompts.len() * choices,
                limits.max_queue_len
            );
            return Err(ApiError::invalid(prompt_param, message));
        }
        let mut requests = Vec::with_capacity(prompts.len() * choices);
        for prompt in prompts {
            let max_tokens = answer_tokens(&prompt, max_tokens, prompt_param, limits)?;
            for choice in 0..choices as u64 {
                // Answers to the same prompt differ, and each of them can be had again.
                let sampling = SamplingParams { seed: sampling.seed.wrapping_add(choice), ..sampling.clone() };
                requests.push(GenerateRequest {
                    prompt: prompt.clone(),
                    max_tokens,
                    sampling,
                    stop: stop.clone(),
                    top_logprobs: top_logprobs.map(|top| top as usize),
                    ignore_eos: self.ignore_eos.unwrap_or(false),
                });
            }
        }
        Ok(requests)
    }

    /// The checked way to choose tokens, for a vocabulary of that size.
    ///
    /// # Errors
    /// Names the first field that cannot be honoured.
    pub fn sampling(&self, vocab_size: usize) -> Result<SamplingParams, ApiError> {
        let defaults = SamplingParams::default();
        let top_k = self.top_k.unwrap_or(0);
        let Ok(top_k) =
            u32::try_from(top_k.max(0)).map_err(|_| ()).and_then(|k| if top_k < -1 { Err(()) } else { Ok(k) })
        else {
            return Err(ApiError::invalid(
                "top_k",
                format!("top_k is {top_k}, but must be -1 (all), 0 (all) or above"),
            ));
        };
        let logit_bias = self.logit_bias.clone().unwrap_or_default();
        if let Some(id) = logit_bias.keys().find(|id| **id as usize >= vocab_size) {
            let message = format!("logit_bias names token {id}, but the vocabulary has {vocab_size} entries");
            return Err(ApiError::invalid("logit_bias", message));
        }
        let sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            top_k,
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            logit_bias,
            seed: self.seed.map_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0, |seed| seed as u64),
        };
        sampling.validate().map_err(|error| ApiError::invalid(error.field, error.to_string()))?;
        Ok(sampling)
    }

    fn stop_strings(&self) -> Result<Vec<String>, ApiError> {
        let stop = match &self.stop {
            None => Vec::new(),
            Some(StopStrings::One(stop)) => vec![stop.clone()],
            Some(StopStrings::Many(stop)) => stop.clone(),
        };
        if stop.len() > MAX_STOP_STRINGS {
            let message = format!("stop has {} strings, but at most {MAX_STOP_STRINGS} are allowed", stop.len());
            return Err(ApiError::invalid("stop", message));
        }
        if stop.iter().any(String::is_empty) {
            return Err(ApiError::invalid("stop", "stop has an empty string, which would end every answer; remove it"));
        }
        Ok(stop)
    }
}

/// Tokens the answer may have, once the prompt is known to fit.
fn answer_tokens(
    prompt: &[u32],
    max_tokens: Option<u64>,
    prompt_param: &'static str,
    limits: &Limits,
) -> Result<usize, ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::invalid(prompt_param, format!("{prompt_param} has no tokens; write at least one")));
    }
    if let Some(id) = prompt.iter().find(|id| **id as usize >= limits.vocab_size) {
        let message = format!("{prompt_param} has token {id}, but the vocabulary has {} entries", limits.vocab_size);
        return Err(ApiError::invalid(prompt_param, message));
    }
    if max_tokens == Some(0) {
        return Err(ApiError::invalid("max_tokens", "max_tokens is 0, but must be 1 or more"));
    }
    let left = limits.max_model_len.saturating_sub(prompt.len());
    match max_tokens {
        None if left > 0 => Ok(left),
        Some(asked) if asked <= left as u64 => Ok(asked as usize),
        asked => Err(ApiError::ContextLength {
            param: prompt_param,
            max_model_len: limits.max_model_len,
            prompt_tokens: prompt.len(),
            max_tokens: asked,
        }),
    }
}

fn in_range(field: &'static str, value: u64, least: u64, most: u64) -> Result<u64, ApiError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(ApiError::invalid(field, format!("{field} is {value}, but must be between {least} and {most}")))
}
