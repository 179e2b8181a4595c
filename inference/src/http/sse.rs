//! Server-sent events: chunks as they come, then the usage if asked for, then `[DONE]`.
//!
//! The body owns the generations: when the client goes away it is dropped, and they with it.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures::{Stream, StreamExt, stream};
use serde_json::Value;
use tracing::Span;

use super::{
    choices::{Shape, total_usage, usage_body},
    error, tracing_layer,
};
use crate::{
    engine_thread::FinishReason,
    error::ApiError,
    generation::{Generation, Piece, Usage},
};

/// How often a waiting client hears that the connection lives; below the minute after which proxies close it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams the answers, whichever is ready first.
pub fn respond(shape: impl Shape, generations: Vec<Generation>, num_prompts: usize, includes_usage: bool) -> Response {
    let usages = vec![Usage::default(); generations.len()];
    let opening: Vec<Value> = (0..generations.len()).filter_map(|index| shape.opening(index)).collect();
    let state = Streaming { shape, usages, reasons: Vec::new(), num_prompts, includes_usage, span: Span::current() };
    let pieces = stream::select_all(generations.into_iter().enumerate().map(numbered));
    let events = state.events(opening, pieces);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

type Numbered = (usize, Usage, Result<Piece, ApiError>);

/// Pieces with the number of their answer and its counts so far.
fn numbered((index, mut generation): (usize, Generation)) -> impl Stream<Item = Numbered> + Unpin {
    stream::poll_fn(move |context| {
        generation.poll_next_unpin(context).map(|piece| Some((index, generation.usage(), piece?)))
    })
}

struct Streaming<S> {
    shape: S,
    usages: Vec<Usage>,
    reasons: Vec<FinishReason>,
    num_prompts: usize,
    includes_usage: bool,
    span: Span,
}

impl<S: Shape> Streaming<S> {
    fn events(
        self,
        opening: Vec<Value>,
        pieces: impl Stream<Item = Numbered> + Unpin + Send + 'static,
    ) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        let nullify_usage = self.includes_usage;
        let opening = stream::iter(opening);
        let rest = stream::unfold(Some((self, pieces)), async |state| {
            let (mut streaming, mut pieces) = state?;
            match pieces.next().await {
                Some(piece) => streaming
                    .chunks(piece)
                    .map_or_else(|failed| Some((failed, None)), |chunks| Some((chunks, Some((streaming, pieces))))),
                None => Some((streaming.last_chunks(), None)),
            }
        });
        let chunks = opening.chain(rest.flat_map(stream::iter)).map(move |mut chunk| {
            if nullify_usage && chunk.get("choices").is_some() && chunk.get("usage").is_none() {
                chunk["usage"] = Value::Null;
            }
            Event::default().data(chunk.to_string())
        });
        chunks.chain(stream::iter([Event::default().data("[DONE]")])).map(Ok)
    }

    /// The chunks for one piece, or the last chunk of a stream that failed.
    fn chunks(&mut self, (index, usage, piece): Numbered) -> Result<Vec<Value>, Vec<Value>> {
        let piece = piece.map_err(|failure| vec![error::body(&failure)])?;
        self.usages[index] = usage;
        self.reasons.extend(piece.finish);
        Ok(self.shape.piece(index, &piece))
    }

    fn last_chunks(self) -> Vec<Value> {
        let total = total_usage(&self.usages, self.num_prompts);
        tracing_layer::record_end(&self.span, total, self.reasons.into_iter());
        if !self.includes_usage {
            return Vec::new();
        }
        let mut chunk = self.shape.without_choices();
        chunk["usage"] = usage_body(total);
        vec![chunk]
    }
}
