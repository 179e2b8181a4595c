//! Tracing, metrics and OTLP set-up shared by every binary, and the progress file's writer.
//!
//! A leaf: knows no other crate of the workspace. Reads no environment but what `logging` names.
#![forbid(unsafe_code)]

pub mod chain;
pub mod logging;
pub mod progress;
pub mod trace_context;
pub mod training_gauges;
