//! The ModelDeployment pod: scheduler, block manager, HTTP and gRPC.
#![forbid(unsafe_code)]

pub mod block_manager;
pub mod sampling;
pub mod scheduler;
