//! The ModelDeployment pod: scheduler, block manager, HTTP and gRPC.
//!
//! A request goes `http` or `grpc` -> `intake` (bounded, off the asynchronous threads) -> `request` (checked, or refused)
//! -> `engine_thread` (computed) -> `generation` (text, cut at stop strings) -> the wire. Knows no kernels; those are the engine's.
#![forbid(unsafe_code)]

pub mod block_manager;
pub mod defaults;
pub mod engine_thread;
pub mod error;
pub mod generation;
pub mod grpc;
pub mod http;
pub mod intake;
pub mod load;
pub mod metrics;
pub mod plan;
pub mod prompt_limit;
pub mod request;
pub mod request_fields;
pub mod sampling;
pub mod scheduler;
pub mod seed;
pub mod serve;
pub mod service;
pub mod stop;
