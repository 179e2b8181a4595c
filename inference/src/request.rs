//! What a client may ask for, checked once at the border: a `GenerateRequest` can be run, whatever is refused is
//! refused here.
//!
//! The same for HTTP and gRPC. Never touches the wire of either, and never the engine.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    error::ApiError,
    sampling::SamplingParams,
    seed::{self, Seed},
};

#[cfg(test)]
mod tests;
mod truncation;

pub use truncation::TruncationSide;

/// Most answers to one prompt, OpenAI's own limit.
pub const MAX_CHOICES: u64 = 128;
/// Most stop strings: each is searched for in every piece of text. OpenAI allows 4, but harnesses such as lm-eval send
/// all that a task has.
pub const MAX_STOP_STRINGS: usize = 32;
/// Most bytes of all stop strings together: each answer to the request holds them several times over.
pub const MAX_STOP_BYTES: usize = 64 << 10;
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
    pub seed: Option<Seed>,
    /// Taken off the logit of each token in the answer.
    pub presence_penalty: Option<f32>,
    /// Taken off the logit of each token in the answer, for each time it is there.
    pub frequency_penalty: Option<f32>,
    /// Divides the logits of tokens seen.
    pub repetition_penalty: Option<f32>,
    /// Added to the logits of single tokens, by id.
    pub logit_bias: Option<BTreeMap<u32, f32>>,
    /// The only tokens that may be chosen.
    pub allowed_token_ids: Option<Vec<u32>>,
    /// Texts whose tokens may not be chosen one after the other.
    pub bad_words: Option<Vec<String>>,
    /// Texts that end the answer and do not belong to it.
    pub stop: Option<StopStrings>,
    /// Tokens that end the answer besides the model's own. Ids beyond the vocabulary never come up.
    pub stop_token_ids: Option<Vec<u32>>,
    /// Tokens before which nothing but `max_tokens` ends the answer.
    pub min_tokens: Option<u64>,
    /// Answers to each prompt.
    pub n: Option<u64>,
    /// Whether to go on after a token that ends a text.
    pub ignore_eos: Option<bool>,
    /// Whether special tokens in the answer give no text. Default: true.
    pub skip_special_tokens: Option<bool>,
    /// Whether the stop string, or the text of the token, that ended the answer is a part of it.
    pub include_stop_str_in_output: Option<bool>,
    /// Keeps that many tokens of the prompt; -1 what the context leaves beside the answer.
    pub truncate_prompt_tokens: Option<i64>,
    /// Which tokens of a prompt that is cut are kept. Default: the last.
    pub truncation_side: Option<TruncationSide>,
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
    /// Alternatives to report per position; none reports no log-probabilities at all.
    pub top_logprobs: Option<usize>,
    /// Whether to go on after a token that ends a text.
    pub ignore_eos: bool,
    /// Tokens that end the answer besides those that end a text.
    pub stop_token_ids: Vec<u32>,
    /// How its tokens become text.
    pub text: TextOptions,
}

/// How the tokens of an answer become its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Tokens before which no text ends the answer.
    pub min_tokens: usize,
    /// Whether special tokens give text too.
    pub keep_special_tokens: bool,
    /// Whether what ended the answer is a part of its text.
    pub include_stop: bool,
}

/// How many tokens an answer may have.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerLength {
    /// What the client asks for; refused where it does not fit.
    pub asked: Option<u64>,
    /// What holds where it asks for nothing, cut to what fits; none takes all that fits.
    pub default: Option<u64>,
}

/// What is asked for besides the options: the prompts, and what was read from the request in another way.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The prompts, in tokens.
    pub prompts: Vec<Vec<u32>>,
    /// What errors call the prompt.
    pub prompt_param: &'static str,
    /// Tokens of each answer.
    pub length: AnswerLength,
    /// Alternatives to report per position; none reports no log-probabilities.
    pub top_logprobs: Option<u64>,
}

/// What only the tokenizer knows of the options.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// `bad_words` in tokens, none of them empty.
    pub bad_words: Vec<Vec<u32>>,
}

impl GenerationOptions {
    /// The checked requests for `n` answers to each prompt, the answers to one prompt side by side.
    ///
    /// # Errors
    /// Names the first field that cannot be honoured.
    pub fn requests(
        &self,
        asked: Asked,
        rules: &TokenRules,
        limits: &Limits,
    ) -> Result<Vec<GenerateRequest>, ApiError> {
        let Asked { prompts, prompt_param, length, top_logprobs } = asked;
        let choices = in_range("n", self.n.unwrap_or(1), 1, MAX_CHOICES)? as usize;
        let top_logprobs = top_logprobs.map(|top| in_range("top_logprobs", top, 0, MAX_TOP_LOGPROBS)).transpose()?;
        let mut sampling = self.sampling(limits.vocab_size)?;
        sampling.bad_words.clone_from(&rules.bad_words);
        sampling.ending_tokens = self.ending_tokens(rules);
        sampling.check_some_token_is_left(limits.vocab_size)?;
        let text = self.text()?;
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
            let prompt = truncation::cut(prompt, self, length, limits)?;
            let max_tokens = answer_tokens(&prompt, length, prompt_param, limits)?;
            self.check_min_tokens(max_tokens)?;
            let seed = self.seed.unwrap_or(Seed::Random).draw();
            requests.extend((0..choices as u64).map(|choice| GenerateRequest {
                prompt: prompt.clone(),
                max_tokens,
                sampling: SamplingParams { seed: seed::of_choice(seed, choice), ..sampling.clone() },
                top_logprobs: top_logprobs.map(|top| top as usize),
                ignore_eos: self.ignore_eos.unwrap_or(false),
                stop_token_ids: self.stop_token_ids.clone().unwrap_or_default(),
                text: text.clone(),
            }));
        }
        Ok(requests)
    }

    /// Every token that would end the answer.
    fn ending_tokens(&self, rules: &TokenRules) -> Vec<u32> {
        let eos = rules.eos_token_ids.iter().filter(|_| self.ignore_eos != Some(true));
        eos.chain(self.stop_token_ids.iter().flatten()).copied().collect()
    }

    fn check_min_tokens(&self, max_tokens: usize) -> Result<(), ApiError> {
        match self.min_tokens {
            Some(least) if least > max_tokens as u64 => {
                let message = format!("min_tokens is {least}, more than the {max_tokens} that the answer may have");
                Err(ApiError::invalid("min_tokens", message))
            }
            _ => Ok(()),
        }
    }

    fn text(&self) -> Result<TextOptions, ApiError> {
        Ok(TextOptions {
            stop: self.stop_strings()?,
            min_tokens: self.min_tokens.unwrap_or(0) as usize,
            keep_special_tokens: self.skip_special_tokens == Some(false),
            include_stop: self.include_stop_str_in_output.unwrap_or(false),
        })
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
            allowed_token_ids: self.allowed(vocab_size)?,
            min_tokens: self.min_tokens.unwrap_or(0) as usize,
            ..defaults
        };
        sampling.validate().map_err(|error| ApiError::invalid(error.field, error.to_string()))?;
        Ok(sampling)
    }

    fn allowed(&self, vocab_size: usize) -> Result<Option<Vec<u32>>, ApiError> {
        let Some(allowed) = &self.allowed_token_ids else { return Ok(None) };
        let wrong = match allowed.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => format!("allowed_token_ids names token {id}, but the vocabulary has {vocab_size} entries"),
            None if allowed.is_empty() => {
                "allowed_token_ids is empty, so no token may be chosen; name some, or leave it out".to_owned()
            }
            None => return Ok(Some(allowed.clone())),
        };
        Err(ApiError::invalid("allowed_token_ids", wrong))
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
        let bytes: usize = stop.iter().map(String::len).sum();
        if bytes > MAX_STOP_BYTES {
            let message = format!("stop has {bytes} bytes, but at most {MAX_STOP_BYTES} are allowed");
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
    length: AnswerLength,
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
    if length.asked == Some(0) {
        return Err(ApiError::invalid("max_tokens", "max_tokens is 0, but must be 1 or more"));
    }
    let left = limits.max_model_len.saturating_sub(prompt.len());
    match length.asked {
        None if left > 0 => Ok(length.default.map_or(left, |default| left.min(default as usize))),
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
