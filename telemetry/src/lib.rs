//! Tracing, metrics and OTLP set-up shared by every binary, and the progress file's writer.
//!
//! A leaf: knows no other crate of the workspace, and reads no environment but what `main` passes in.
#![forbid(unsafe_code)]

pub mod chain;
pub mod progress;
