//! Takes up a trace from across a process border as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>).
//!
//! Owns reading it. Does nothing where no traces are exported.

use std::{collections::HashMap, sync::OnceLock};

use opentelemetry::{global, trace::TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// The trace that this process works for.
static PROCESS: OnceLock<String> = OnceLock::new();

/// Names the trace that this process works for: that of the reconcile which made its job file. The first one stands.
pub fn adopt(traceparent: &str) {
    // A process has one job file; a second one could only be a test's.
    let _ = PROCESS.set(traceparent.to_owned());
}

/// Makes `span` a child of the caller's span where it names one, else of the one that was [adopted](adopt).
pub fn continue_from_caller(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.or_else(|| PROCESS.get().map(String::as_str)) {
        continue_from(span, parent);
    }
}

/// Makes `span` a child of the span that `traceparent` names. One that does not parse is ignored, as the standard asks.
pub fn continue_from(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    if context.span().span_context().is_valid() {
        // Fails only for a span that already has a parent or is not exported; then there is nothing to carry on.
        let _ = span.set_parent(context);
    }
}

/// Gives `span` the name it is exported under, once that is known; a recorded `otel.name` comes too late for a span that
/// continues another.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}
