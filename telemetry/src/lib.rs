//! Tracing, metrics and OTLP set-up shared by every binary.
#![forbid(unsafe_code)]
