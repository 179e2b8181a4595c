//! The operator: pure stages of each kind, and the history store.
//!
//! Owns `validate -> plan -> build` for every kind, values in and values out: no client, clock or randomness. The command
//! line runs these stages today; the reconcilers run the very same ones. Never starts a process and never reads a file.
#![forbid(unsafe_code)]

pub mod dataset;
pub mod layout;
pub mod manifest;
pub mod model_deployment;
pub mod references;
pub mod resource;
pub mod training_job;
pub mod violation;
