//! Continues prompts with a model that is still in training, as samples for the report.
//!
//! Owns the prompts and the greedy loop over the engine's serving runner. The weights are copied, so training never
//! notices.

use std::sync::Arc;

use bedplate_engine::{
    ModelConfig, Weights,
    serving::{Chunk, KvCache, Runner, ServingModel},
};
use bedplate_tokenizer::Tokenizer;

use crate::{data::SequenceRef, error::TrainError};

/// Tokens of a sample: some lines of text, enough to see what the model has learnt, in a second or so.
const SAMPLE_TOKENS: usize = 48;
/// Tokens of a prompt that is taken from the hold-out.
const PROMPT_TOKENS: usize = 16;
/// Most tokens of prompt and sample together, which bounds the cache; a longer prompt loses its beginning.
const MAX_CONTEXT: usize = 512;
/// Tokens of a block of the cache.
const BLOCK_SIZE: usize = 16;

/// Bytes that drawing samples takes: a copy of the weights in the serving layout, and the cache.
pub fn memory_bytes(config: &ModelConfig, weight_bytes: u64) -> u64 {
    let cache = KvCache::bytes_per_block(config, BLOCK_SIZE).saturating_mul(num_blocks(config) as u64);
    weight_bytes.saturating_add(cache)
}

fn context(config: &ModelConfig) -> usize {
    config.max_position_embeddings.min(MAX_CONTEXT)
}

fn num_blocks(config: &ModelConfig) -> usize {
    context(config).div_ceil(BLOCK_SIZE)
}

/// The prompts of a job.
#[derive(Debug)]
pub struct Samples {
    tokenizer: Tokenizer,
    end_of_text: u32,
    prompts: Vec<(String, Vec<u32>)>,
}

impl Samples {
    /// The prompts of the spec, or else the beginning of `holdout`, for a model of `vocab_size` entries.
    pub fn new(
        tokenizer: Tokenizer,
        (end_of_text, vocab_size): (u32, usize),
        prompts: &[String],
        holdout: Option<&SequenceRef<'_>>,
    ) -> Result<Self, TrainError> {
        // A prompt begins as the documents that are trained on, but is not ended.
        let encode = |text: &String| {
            let own = tokenizer.encode(text, false).map_err(TrainError::Prompt)?;
            let tokens = [tokenizer.prefix(), &own].concat();
            match tokens.iter().find(|token| **token as usize >= vocab_size) {
                Some(token) => Err(TrainError::PromptToken { prompt: text.clone(), token: *token, vocab_size }),
                None => Ok((text.clone(), tokens)),
            }
        };
        let mut prompts = prompts.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        if let (true, Some(sequence)) = (prompts.is_empty(), holdout) {
            let (mut tokens, mut segment_lengths) = (Vec::new(), Vec::new());
            sequence.sequences.read(sequence.index, &mut tokens, &mut segment_lengths);
            tokens.truncate(PROMPT_TOKENS.min(segment_lengths.first().map_or(0, |length| *length as usize)));
            prompts.push((tokenizer.decode(&tokens, true), tokens));
        }
        Ok(Self { tokenizer, end_of_text, prompts })
    }

    /// Each prompt and what these weights continue it with.
    pub fn draw(&self, config: &ModelConfig, weights: &Weights) -> Vec<(String, String)> {
        if self.prompts.is_empty() {
            return Vec::new();
        }
        let mut sampler = Sampler::new(config, weights, self.end_of_text);
        let draw = |(text, tokens): &(String, Vec<u32>)| {
            let continuation = sampler.continue_prompt(tokens);
            (text.clone(), self.tokenizer.decode_after(tokens, &continuation, true))
        };
        self.prompts.iter().map(draw).collect()
    }
}

/// Draws samples from one state of the weights.
#[derive(Debug)]
struct Sampler {
    runner: Runner,
    cache: KvCache,
    block_table: Vec<u32>,
    context: usize,
    end_of_text: u32,
}

impl Sampler {
    /// Copies the weights. A sample ends at `end_of_text` at the latest.
    fn new(config: &ModelConfig, weights: &Weights, end_of_text: u32) -> Self {
        let blocks = num_blocks(config);
        Self {
            runner: Runner::new(Arc::new(ServingModel::from_weights(config, weights))),
            cache: KvCache::new(config, blocks, BLOCK_SIZE),
            block_table: (0..blocks as u32).collect(),
            context: context(config),
            end_of_text,
        }
    }

    /// The likeliest continuation of `prompt`, token by token. An empty prompt is the end of another text.
    fn continue_prompt(&mut self, prompt: &[u32]) -> Vec<u32> {
        let room = SAMPLE_TOKENS.min(self.context / 2);
        let kept = &prompt[prompt.len() - prompt.len().min(self.context - room)..];
        let mut tokens = if kept.is_empty() { vec![self.end_of_text] } else { kept.to_vec() };
        let (first, mut start) = (tokens.len(), 0);
        while tokens.len() < first + room {
            let next = self.next(&tokens[start..], start);
            if next == self.end_of_text {
                break;
            }
            start = tokens.len();
            tokens.push(next);
        }
        tokens.split_off(first)
    }

    fn next(&mut self, tokens: &[u32], start: usize) -> u32 {
        let chunk = Chunk { tokens, start, block_table: &self.block_table, wants_logits: true };
        let logits = self.runner.forward(&mut self.cache, &[chunk]);
        let best = logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
        best.map_or(self.end_of_text, |(token, _)| token as u32)
    }
}
