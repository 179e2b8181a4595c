//! One request while the engine works on it: what it still needs to know to draw and deliver its tokens.

use std::time::Instant;

use tokio::sync::mpsc;

use super::handle::{QueueSlot, Submission};
use crate::{
    error::ApiError,
    sampling::{self, NotFinite, SamplingParams, TokenLogprobs},
};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text, or a stop string came up.
    Stop,
    /// The answer has as many tokens as were asked for.
    Length,
}

impl FinishReason {
    /// OpenAI's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// One token of an answer, on its way to whoever asked.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedToken {
    /// The token.
    pub id: u32,
    /// Log-probabilities at its position, if asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// Set on the last token.
    pub finish: Option<FinishReason>,
    /// Whether it ends the text and is no part of it.
    pub ends_text: bool,
    /// When the request first ran.
    pub scheduled_at: Instant,
    /// Tokens of the prompt that were found in the prefix cache.
    pub num_cached_tokens: usize,
}

/// What comes to whoever asked: a token, or why there is no other.
pub type Delivery = Result<GeneratedToken, ApiError>;

/// What was drawn for one sequence in one step.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) token: u32,
    logprobs: Option<TokenLogprobs>,
}

/// A request that the scheduler knows.
#[derive(Debug)]
pub(super) struct Live {
    prompt_len: usize,
    max_tokens: usize,
    sampling: SamplingParams,
    top_logprobs: Option<usize>,
    ignore_eos: bool,
    stop_token_ids: Vec<u32>,
    slot: Option<QueueSlot>,
    tokens: mpsc::Sender<Delivery>,
    num_generated: usize,
    scheduled_at: Option<Instant>,
    num_cached_tokens: usize,
}

impl Live {
    /// The prompt for the scheduler, and the rest.
    pub(super) fn new(submission: Submission) -> (Vec<u32>, Self) {
        let Submission { request, slot, tokens } = submission;
        let live = Self {
            prompt_len: request.prompt.len(),
            max_tokens: request.max_tokens,
            sampling: request.sampling,
            top_logprobs: request.top_logprobs,
            ignore_eos: request.ignore_eos,
            stop_token_ids: request.stop_token_ids,
            slot: Some(slot),
            tokens,
            num_generated: 0,
            scheduled_at: None,
            num_cached_tokens: 0,
        };
        (request.prompt, live)
    }

    pub(super) fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    pub(super) fn num_generated(&self) -> usize {
        self.num_generated
    }

    /// Whether somebody still reads the answer.
    pub(super) fn is_wanted(&self) -> bool {
        !self.tokens.is_closed()
    }

    /// Notes that it runs for the first time: from here on it waits no more.
    pub(super) fn begin(&mut self, now: Instant, num_cached_tokens: usize) {
        self.slot = None;
        self.scheduled_at = Some(now);
        self.num_cached_tokens = num_cached_tokens;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.scheduled_at.is_some()
    }

    /// Chooses the next token of `tokens` (prompt and answer so far) from its row of logits.
    pub(super) fn draw(&self, logits: &[f32], tokens: &[u32]) -> Result<Drawn, ApiError> {
        sampling::check_finite(logits).map_err(|NotFinite| ApiError::NotFinite)?;
        let mut scratch = logits.to_vec();
        let token = sampling::sample(&mut scratch, &self.sampling, tokens, self.prompt_len);
        let token = token.ok_or_else(|| self.sampling.nothing_left())?;
        let logprobs = self.top_logprobs.map(|top| sampling::logprobs(logits, token, top));
        Ok(Drawn { token, logprobs })
    }

    /// Sends a token to the reader, and says whether it was the last one and why.
    pub(super) fn deliver(&mut self, drawn: &Drawn, is_eos: bool) -> Option<FinishReason> {
        self.num_generated += 1;
        let ends_text = (is_eos && !self.ignore_eos) || self.stop_token_ids.contains(&drawn.token);
        let finish = match ends_text {
            true => Some(FinishReason::Stop),
            false => (self.num_generated == self.max_tokens).then_some(FinishReason::Length),
        };
        let token = GeneratedToken {
            id: drawn.token,
            logprobs: drawn.logprobs.clone(),
            finish,
            ends_text,
            scheduled_at: self.scheduled_at.unwrap_or_else(Instant::now),
            num_cached_tokens: self.num_cached_tokens,
        };
        // The channel has room for max_tokens, so all that can be wrong is that nobody reads; the next schedule sees it.
        let _ = self.tokens.try_send(Ok(token));
        finish
    }

    /// Sends the reader the reason why there is no next token.
    pub(super) fn fail(&self, error: ApiError) {
        // As above: it takes the place of a token.
        let _ = self.tokens.try_send(Err(error));
    }
}
