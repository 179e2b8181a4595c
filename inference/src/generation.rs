//! One answer as it comes out of the engine: tokens in, pieces of text out.
//!
//! Detokenises, looks for stop strings and keeps the request's clock. Dropping it drops the channel to the engine, which
//! then forgets the sequence. Knows no wire.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bedplate_tokenizer::{DecodeStream, Tokenizer};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    engine_thread::{Delivery, FinishReason, GeneratedToken},
    error::ApiError,
    metrics::RequestTimes,
    request::TextOptions,
    sampling::TokenLogprobs,
    stop::{Matched, StopMatcher},
};

/// A part of an answer. Put together, the texts are the answer; the last one carries the reason it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// Text that belongs to the answer for certain.
    pub text: String,
    /// Tokens that came since the piece before, the one that ended the answer left out.
    pub tokens: Vec<PieceToken>,
    /// The token that ended the answer, where one did and no text.
    pub ended_by: Option<u32>,
    /// Set on the last piece.
    pub finish: Option<FinishReason>,
}

/// A token of a piece.
#[derive(Clone, Debug, PartialEq)]
pub struct PieceToken {
    /// The token.
    pub id: u32,
    /// Log-probabilities at its position, if asked for.
    pub logprobs: Option<TokenLogprobs>,
}

/// Token counts of one answer, in OpenAI's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, a text-ending one included.
    pub completion_tokens: usize,
    /// Tokens of the prompt that were found in the prefix cache.
    pub cached_tokens: usize,
}

/// An answer on its way. A stream of [`Piece`]s that ends after the piece with a finish reason, or after an error.
#[derive(Debug)]
pub struct Generation {
    tokens: mpsc::Receiver<Delivery>,
    cut_off: Pin<Box<WaitForCancellationFutureOwned>>,
    decode: Option<DecodeStream<Arc<Tokenizer>>>,
    stop: StopMatcher,
    min_tokens: usize,
    include_stop: bool,
    times: RequestTimes,
    usage: Usage,
    pending: Vec<PieceToken>,
    ended: bool,
}

impl Generation {
    /// The answer whose tokens arrive on `tokens` and are turned into text by `decode`, which goes on from the prompt. Once
    /// `cut_off` is cancelled it ends with an error.
    pub fn new(
        tokens: mpsc::Receiver<Delivery>,
        decode: DecodeStream<Arc<Tokenizer>>,
        text: TextOptions,
        prompt_tokens: usize,
        times: RequestTimes,
        cut_off: CancellationToken,
    ) -> Self {
        Self {
            tokens,
            cut_off: Box::pin(cut_off.cancelled_owned()),
            decode: Some(decode),
            stop: StopMatcher::new(text.stop, text.include_stop),
            min_tokens: text.min_tokens,
            include_stop: text.include_stop,
            times,
            usage: Usage { prompt_tokens, ..Usage::default() },
            pending: Vec::new(),
            ended: false,
        }
    }

    /// Counts so far; final once the stream has ended.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Ends the answer before it is complete.
    fn fail(&mut self, error: ApiError) -> ApiError {
        self.ended = true;
        self.times.fail();
        self.tokens.close();
        error
    }

    /// Takes in one token: a piece if it completed any text or ended the answer.
    fn accept(&mut self, token: GeneratedToken) -> Option<Piece> {
        self.times.token(token.scheduled_at);
        self.usage.completion_tokens += 1;
        self.usage.cached_tokens = token.num_cached_tokens;
        let ended_by = token.ends_text.then_some(token.id);
        let mut text = String::new();
        if !token.ends_text || self.include_stop {
            text.extend(self.decode.as_mut().and_then(|decode| decode.push(token.id)));
        }
        if !token.ends_text {
            self.pending.push(PieceToken { id: token.id, logprobs: token.logprobs });
        }
        if token.finish.is_some() {
            text.extend(self.decode.take().and_then(DecodeStream::finish));
        }
        // Up to `min_tokens` no text ends the answer, so none is looked at.
        let matched = match self.usage.completion_tokens <= self.min_tokens {
            true => Matched { text, stopped: false },
            false => self.stop.push(&text),
        };
        let finish = if matched.stopped { Some(FinishReason::Stop) } else { token.finish };
        let mut text = matched.text;
        if let Some(reason) = finish {
            text.push_str(&self.stop.finish());
            self.times.finish(reason);
            self.ended = true;
            // Tells the engine at once where a stop string ended the answer before the engine knew.
            self.tokens.close();
        }
        if text.is_empty() && finish.is_none() {
            return None;
        }
        Some(Piece { text, tokens: std::mem::take(&mut self.pending), ended_by, finish })
    }
}

impl Stream for Generation {
    type Item = Result<Piece, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if self.cut_off.as_mut().poll(context).is_ready() {
                return Poll::Ready(Some(Err(self.fail(ApiError::ShuttingDown))));
            }
            let token = match ready!(self.tokens.poll_recv(context)) {
                Some(Ok(token)) => token,
                Some(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
                None => return Poll::Ready(Some(Err(self.fail(ApiError::EngineFailed)))),
            };
            if let Some(piece) = self.accept(token) {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// All its pieces as one.
    pub piece: Piece,
    /// Its token counts.
    pub usage: Usage,
}

impl Generation {
    /// Waits for the whole answer.
    ///
    /// # Errors
    /// When the answer ends before it is complete.
    pub async fn collect(mut self) -> Result<Answer, ApiError> {
        use futures::StreamExt;
        let mut whole = Piece::default();
        while let Some(piece) = self.next().await {
            let Piece { text, tokens, ended_by, finish } = piece?;
            whole.text.push_str(&text);
            whole.tokens.extend(tokens);
            whole.ended_by = ended_by;
            whole.finish = finish;
        }
        Ok(Answer { piece: whole, usage: self.usage })
    }
}
