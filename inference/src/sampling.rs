//! Turns one row of logits into one token.
//!
//! Pure: the random number of a draw comes from (seed, position) alone, so a sequence that is preempted, batched
//! otherwise or chunked otherwise draws the same tokens.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::{error::ApiError, seed::mix};

mod rules;

#[cfg(test)]
mod tests;

/// How to choose tokens, in OpenAI's and vLLM's names. [`SamplingParams::validate`] says what is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Softmax temperature; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps the likeliest tokens whose probabilities sum to at least this.
    pub top_p: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps tokens at least this share as likely as the likeliest.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Taken off the logit of each token in the answer.
    pub presence_penalty: f32,
    /// Taken off the logit of each token in the answer, once for each time it is there.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens.
    pub logit_bias: BTreeMap<u32, f32>,
    /// The only tokens that may be chosen; none allows all.
    pub allowed_token_ids: Option<Vec<u32>>,
    /// Tokens that may not be chosen one after the other.
    pub bad_words: Vec<Vec<u32>>,
    /// Tokens of the answer before which none of `ending_tokens` may be chosen.
    pub min_tokens: usize,
    /// Tokens that end the answer.
    pub ending_tokens: Vec<u32>,
    /// Start of the random numbers.
    pub seed: u64,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            allowed_token_ids: None,
            bad_words: Vec::new(),
            min_tokens: 0,
            ending_tokens: Vec::new(),
            seed: 0,
        }
    }
}

/// A parameter outside its range.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but must be {range}")]
pub struct OutOfRange {
    /// Name of the parameter.
    pub field: &'static str,
    /// What was given.
    pub value: f32,
    /// What is allowed.
    pub range: &'static str,
}

impl SamplingParams {
    /// Checks every range, so that [`sample`] cannot fail.
    ///
    /// # Errors
    /// Names the first parameter that is out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let within = |field, value: f32, ok: bool, range| {
            if ok && value.is_finite() { Ok(()) } else { Err(OutOfRange { field, value, range }) }
        };
        let t = self.temperature;
        within("temperature", t, (0.0..=2.0).contains(&t), "between 0 and 2")?;
        within("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1")?;
        within("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1")?;
        let repetition = self.repetition_penalty;
        within("repetition_penalty", repetition, repetition > 0.0 && repetition <= 10.0, "above 0 and at most 10")?;
        let penalty = -2.0..=2.0;
        let presence = self.presence_penalty;
        within("presence_penalty", presence, penalty.contains(&presence), "between -2 and 2")?;
        let frequency = self.frequency_penalty;
        within("frequency_penalty", frequency, penalty.contains(&frequency), "between -2 and 2")?;
        self.logit_bias
            .values()
            .try_for_each(|&bias| within("logit_bias", bias, (-100.0..=100.0).contains(&bias), "between -100 and 100"))
    }
}

/// Logits that are no numbers which a token can be drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the logits are NaN or infinite")]
pub struct NotFinite;

/// Refuses a row that has NaN or positive infinity in it, or nothing above negative infinity: no probabilities can be made
/// of it, and a token taken from it would look like an answer. Single entries of negative infinity rule tokens out.
///
/// # Errors
/// For such a row.
pub fn check_finite(logits: &[f32]) -> Result<(), NotFinite> {
    let mut any = false;
    for &logit in logits {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(NotFinite);
        }
        any |= logit > f32::NEG_INFINITY;
    }
    if any { Ok(()) } else { Err(NotFinite) }
}

/// Chooses the next token from `logits` (one per vocabulary entry; changed in place by penalties and temperature).
///
/// `tokens` is prompt and answer so far, the answer from `prompt_len` on. Filters apply in vLLM's order: penalties and
/// biases, temperature, min-p, top-k, top-p. Equal logits count as ordered by id, the smaller first. None where the rules
/// of `params` leave no token.
pub fn sample(logits: &mut [f32], params: &SamplingParams, tokens: &[u32], prompt_len: usize) -> Option<u32> {
    apply_penalties(logits, params, tokens, prompt_len);
    if !params.forbid(logits, &tokens[prompt_len..]) {
        return None;
    }
    if params.temperature == 0.0 {
        return Some(argmax(logits));
    }
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<(f32, u32)> = logits
        .iter()
        .enumerate()
        .map(|(id, &logit)| (((logit - max) / params.temperature).exp(), id as u32))
        .filter(|&(weight, _)| weight > 0.0 && weight >= params.min_p)
        .collect();
    if params.top_k > 0 && (params.top_k as usize) < weights.len() {
        weights.select_nth_unstable_by(params.top_k as usize - 1, likelier);
        weights.truncate(params.top_k as usize);
    }
    if params.top_p < 1.0 {
        keep_top_p(&mut weights, params.top_p);
    }
    // The order of the walk must not depend on how the filters happened to permute the candidates.
    weights.sort_unstable_by_key(|&(_, id)| id);
    Some(draw(&weights, uniform(params.seed, tokens.len() as u64)))
}

/// Natural logarithms of the probabilities of `logits` before any penalty or temperature, for a few ids.
pub fn logprobs(logits: &[f32], chosen: u32, top: usize) -> TokenLogprobs {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum::<f64>().ln() as f32;
    let logprob = |id: u32| (id, logits[id as usize] - max - log_sum);
    let mut ids: Vec<(f32, u32)> = logits.iter().enumerate().map(|(id, &logit)| (logit, id as u32)).collect();
    let top = top.min(ids.len());
    if top > 0 && top < ids.len() {
        ids.select_nth_unstable_by(top - 1, likelier);
    }
    ids.truncate(top);
    ids.sort_unstable_by(likelier);
    TokenLogprobs { chosen: logprob(chosen), top: ids.into_iter().map(|(_, id)| logprob(id)).collect() }
}

/// Log-probabilities at one position.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The chosen token and its log-probability.
    pub chosen: (u32, f32),
    /// The likeliest tokens, likeliest first.
    pub top: Vec<(u32, f32)>,
}

fn apply_penalties(logits: &mut [f32], params: &SamplingParams, tokens: &[u32], prompt_len: usize) {
    if params.repetition_penalty != 1.0 {
        let mut seen = tokens.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            let logit = &mut logits[id as usize];
            *logit = if *logit > 0.0 { *logit / params.repetition_penalty } else { *logit * params.repetition_penalty };
        }
    }
    if params.presence_penalty != 0.0 || params.frequency_penalty != 0.0 {
        let mut counts = BTreeMap::<u32, f32>::new();
        tokens[prompt_len..].iter().for_each(|&id| *counts.entry(id).or_default() += 1.0);
        for (id, count) in counts {
            logits[id as usize] -= params.presence_penalty + params.frequency_penalty * count;
        }
    }
    for (&id, &bias) in &params.logit_bias {
        logits[id as usize] += bias;
    }
}

/// The likeliest first; of equals, the smaller id.
fn likelier(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().map(|(id, &logit)| (logit, id as u32)).min_by(likelier);
    best.map_or(0, |(_, id)| id)
}

/// First guess of how many candidates make up `top_p`; most rows need no more, and sorting a whole vocabulary for each
/// token would cost more than a small model's step.
const FIRST_GUESS: usize = 64;

fn keep_top_p(weights: &mut Vec<(f32, u32)>, top_p: f32) {
    // Summed in the order of ids, before anything is moved, so the total is the same on every path.
    let total: f64 = weights.iter().map(|&(weight, _)| f64::from(weight)).sum();
    let mut guess = FIRST_GUESS;
    loop {
        let sorted = guess.min(weights.len());
        if sorted < weights.len() {
            weights.select_nth_unstable_by(sorted - 1, likelier);
        }
        weights[..sorted].sort_unstable_by(likelier);
        let mut sum = 0.0;
        let enough = weights[..sorted].iter().position(|&(weight, _)| {
            sum += f64::from(weight);
            sum >= f64::from(top_p) * total
        });
        if let Some(last) = enough {
            return weights.truncate(last + 1);
        }
        if sorted == weights.len() {
            return;
        }
        guess *= FIRST_GUESS;
    }
}

fn draw(weights: &[(f32, u32)], uniform: f64) -> u32 {
    let total: f64 = weights.iter().map(|&(weight, _)| f64::from(weight)).sum();
    let mut left = uniform * total;
    for &(weight, id) in weights {
        left -= f64::from(weight);
        if left < 0.0 {
            return id;
        }
    }
    weights.last().map_or(0, |&(_, id)| id)
}

/// A number in [0, 1) from (seed, position): two rounds of the SplitMix64 finaliser (Steele et al. 2014).
fn uniform(seed: u64, position: u64) -> f64 {
    let bits = mix(mix(seed).wrapping_add(position));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
