//! The ModelDeployment pod: scheduler, block manager, HTTP and gRPC.
#![forbid(unsafe_code)]
