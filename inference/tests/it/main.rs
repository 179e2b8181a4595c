//! The served endpoint from outside: a small random model over real sockets, a real model file, and the `openai` client.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod bad_input;
mod batching;
mod chat;
mod completions;
mod coverage;
mod first_space;
mod fixture;
mod grpc;
mod hub;
#[path = "../../../hub/tests/it/server.rs"]
mod hub_server;
mod intake;
mod lifecycle;
mod metrics;
mod model_files;
mod not_finite;
mod openai_client;
mod process;
mod queue;
mod reporting;
mod request_fields;
mod request_options;
mod smollm2;
mod traces;
