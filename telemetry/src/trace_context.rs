//! Carries a trace across a process border as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>).
//!
//! Owns reading and writing it. Does nothing where no traces are exported.

use std::collections::HashMap;

use opentelemetry::{global, trace::TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Name of the header, and of the variable in upper case.
pub const TRACEPARENT: &str = "traceparent";

/// Makes `span` a child of the span that `traceparent` names. One that does not parse is ignored, as the standard asks.
pub fn continue_from(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    if context.span().span_context().is_valid() {
        // Fails only for a span that already has a parent or is not exported; then there is nothing to carry on.
        let _ = span.set_parent(context);
    }
}

/// The `traceparent` that names `span`, for whoever works on its behalf; none where no traces are exported.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), &mut carrier));
    carrier.remove(TRACEPARENT)
}
