//! Answers into responses: whole, or chunk by chunk as server-sent events.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{Json, response::Response};
use serde_json::{Value, json};
use tracing::Span;

use super::{options::Delivery, sse, tracing_layer};
use crate::{
    error::ApiError,
    generation::{Answer, Generation, Piece, Usage},
    intake::Intake,
};

/// How an endpoint writes its answers.
pub trait Shape: Send + 'static {
    /// The whole response, but for the usage.
    fn whole(&mut self, answers: &[Piece]) -> Value;
    /// The chunk that begins answer `index` of `count`, if it has one. Where there are several answers, that of the first
    /// must: clients take the first chunk that comes for that of answer 0.
    fn opening(&self, index: usize, count: usize) -> Option<Value>;
    /// The chunks for a piece of answer `index`.
    fn piece(&mut self, index: usize, piece: &Piece) -> Vec<Value>;
    /// A chunk of no answer, for the usage.
    fn without_choices(&self) -> Value;
}

/// Answers on their way, and how the client wants them.
pub struct Begun<S> {
    /// How they are written.
    pub shape: S,
    /// The answers; those to one prompt lie side by side.
    pub generations: Vec<Generation>,
    /// Prompts that they answer.
    pub num_prompts: usize,
    /// Streamed or whole.
    pub delivery: Delivery,
}

/// Sends the answers as the client wants them.
///
/// # Errors
/// When an answer fails before a whole response is there.
pub async fn respond(begun: Begun<impl Shape>, intake: &Intake) -> Result<Response, ApiError> {
    let Begun { mut shape, generations, num_prompts, delivery } = begun;
    if let Some(options) = delivery.stream() {
        return Ok(delivery.ignored.noted_on(sse::respond(shape, generations, num_prompts, options)));
    }
    let answers = futures::future::try_join_all(generations.into_iter().map(Generation::collect)).await?;
    let usages: Vec<Usage> = answers.iter().map(|answer| answer.usage).collect();
    let pieces: Vec<Piece> = answers.into_iter().map(|Answer { piece, .. }| piece).collect();
    let total = total_usage(&usages, num_prompts);
    tracing_layer::record_end(&Span::current(), total, pieces.iter().filter_map(|piece| piece.finish));
    // The log-probabilities of a hundred long answers are seconds of work.
    let write = move || {
        let mut body = shape.whole(&pieces);
        body["usage"] = usage_body(total);
        delivery.ignored.noted_on(Json(body))
    };
    intake.run(write).await
}

/// The counts of all answers together. Answers to the same prompt lie side by side, and a prompt counts once.
pub fn total_usage(usages: &[Usage], num_prompts: usize) -> Usage {
    let choices = (usages.len() / num_prompts.max(1)).max(1);
    let first = usages.iter().step_by(choices);
    Usage {
        prompt_tokens: first.clone().map(|usage| usage.prompt_tokens).sum(),
        cached_tokens: first.map(|usage| usage.cached_tokens).sum(),
        completion_tokens: usages.iter().map(|usage| usage.completion_tokens).sum(),
    }
}

/// `usage` as OpenAI writes it.
pub fn usage_body(usage: Usage) -> Value {
    let Usage { prompt_tokens, completion_tokens, cached_tokens } = usage;
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": { "cached_tokens": cached_tokens },
    })
}

/// `finish_reason` as OpenAI writes it; null while there is none.
pub fn finish_reason(piece: &Piece) -> Value {
    piece.finish.map_or(Value::Null, |reason| reason.as_str().into())
}

/// Seconds since the Unix epoch.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
