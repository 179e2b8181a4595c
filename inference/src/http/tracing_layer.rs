//! One span per request, in OpenTelemetry's GenAI names, and the request id that client and log share.
//!
//! The names are those of open-telemetry/semantic-conventions-genai, all of them still in development.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use bedplate_telemetry::trace_context;
use tracing::{Instrument, Span, field::Empty};

use crate::{engine_thread::FinishReason, generation::Usage, request::GenerateRequest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a client; a UUID has 36 letters.
const MAX_REQUEST_ID_LEN: usize = 128;

/// Wraps a request in its span and returns its id to the client.
pub async fn trace(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        request_id = id.to_str().unwrap_or_default(),
        gen_ai.operation.name = Empty,
        gen_ai.provider.name = "bedplate",
        gen_ai.request.model = Empty,
        gen_ai.request.max_tokens = Empty,
        gen_ai.request.temperature = Empty,
        gen_ai.request.top_p = Empty,
        gen_ai.request.top_k = Empty,
        gen_ai.request.seed = Empty,
        gen_ai.request.choice.count = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.response.finish_reasons = Empty,
    );
    let parent = request.headers().get(trace_context::TRACEPARENT).and_then(|value| value.to_str().ok());
    trace_context::continue_from_caller(&span, parent);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "request answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's id, if it is printable and not too long, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| id.len() <= MAX_REQUEST_ID_LEN && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().to_string();
        HeaderValue::from_str(&id).expect("a UUID is ASCII")
    })
}

/// Notes what is asked for on the request's span.
pub fn record_request(operation: &str, model: &str, requests: &[GenerateRequest]) {
    let span = Span::current();
    let Some(first) = requests.first() else { return };
    trace_context::rename(&span, format!("{operation} {model}"));
    span.record("gen_ai.operation.name", operation);
    span.record("gen_ai.request.model", model);
    span.record("gen_ai.request.max_tokens", first.max_tokens);
    span.record("gen_ai.request.temperature", first.sampling.temperature);
    span.record("gen_ai.request.top_p", first.sampling.top_p);
    span.record("gen_ai.request.top_k", first.sampling.top_k);
    span.record("gen_ai.request.seed", first.sampling.seed);
    span.record("gen_ai.request.choice.count", requests.len());
}

/// Notes how the answers came out.
pub fn record_end(span: &Span, usage: Usage, reasons: impl Iterator<Item = FinishReason>) {
    span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
    span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
    span.record("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens);
    let reasons: Vec<&str> = reasons.map(FinishReason::as_str).collect();
    span.record("gen_ai.response.finish_reasons", reasons.join(","));
}
