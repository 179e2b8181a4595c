//! Server-sent events: chunks as they come, then the usage if asked for, then `[DONE]`. A stream that fails ends with an
//! error event and nothing behind it, so that nobody takes the part for the whole.
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
    error,
    options::StreamOptions,
    tracing_layer,
};
use crate::{
    engine_thread::FinishReason,
    error::ApiError,
    generation::{Generation, Piece, Usage},
};

/// How often a waiting client hears that the connection lives; below the minute after which proxies close it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What tells a client that the answer is complete.
const DONE: &str = "[DONE]";

/// Streams the answers, whichever is ready first.
pub fn respond(
    shape: impl Shape,
    generations: Vec<Generation>,
    num_prompts: usize,
    options: StreamOptions,
) -> Response {
    let usages = vec![Usage::default(); generations.len()];
    let count = generations.len();
    let opening: Vec<Value> = (0..count).filter_map(|index| shape.opening(index, count)).collect();
    let state = Streaming { shape, usages, reasons: Vec::new(), num_prompts, options, span: Span::current() };
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
    options: StreamOptions,
    span: Span,
}

impl<S: Shape> Streaming<S> {
    fn events(
        self,
        opening: Vec<Value>,
        pieces: impl Stream<Item = Numbered> + Unpin + Send + 'static,
    ) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        let includes_usage = self.options.includes_usage();
        let opening = stream::iter(opening).map(move |chunk| event(chunk, includes_usage));
        let rest = stream::unfold(Some((self, pieces)), async |state| {
            let (mut streaming, mut pieces) = state?;
            match pieces.next().await {
                Some(piece) => match streaming.events_of(piece) {
                    Ok(events) => Some((events, Some((streaming, pieces)))),
                    Err(failure) => Some((vec![event(error::body(&failure), false)], None)),
                },
                None => Some((streaming.last_events(), None)),
            }
        });
        opening.chain(rest.flat_map(stream::iter)).map(Ok)
    }

    /// The events for one piece.
    fn events_of(&mut self, (index, usage, piece): Numbered) -> Result<Vec<Event>, ApiError> {
        let piece = piece?;
        self.usages[index] = usage;
        self.reasons.extend(piece.finish);
        let options = self.options;
        let mut chunks = self.shape.piece(index, &piece);
        if options.counts_continuously() {
            chunks.iter_mut().for_each(|chunk| chunk["usage"] = usage_body(usage));
        }
        Ok(chunks.into_iter().map(|chunk| event(chunk, options.includes_usage())).collect())
    }

    /// The events behind complete answers.
    fn last_events(self) -> Vec<Event> {
        let total = total_usage(&self.usages, self.num_prompts);
        tracing_layer::record_end(&self.span, total, self.reasons.into_iter());
        let usage = self.options.includes_usage().then(|| {
            let mut chunk = self.shape.without_choices();
            chunk["usage"] = usage_body(total);
            event(chunk, true)
        });
        usage.into_iter().chain([Event::default().data(DONE)]).collect()
    }
}

/// The event of a chunk. Where the usage is wanted, chunks without it say so.
fn event(mut chunk: Value, includes_usage: bool) -> Event {
    if includes_usage && chunk.get("usage").is_none() {
        chunk["usage"] = Value::Null;
    }
    Event::default().data(chunk.to_string())
}
