//! The operator: pure stages of each kind, and the history store.
//!
//! Owns `validate -> plan -> build` for every kind, values in and values out: no client, clock or randomness. The command
//! line runs these stages today; the reconcilers run the very same ones. They never start a process and never read a file;
//! [`store`] is the one module that talks to anything.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod dataset;
pub mod layout;
pub mod manifest;
pub mod model_deployment;
mod pod;
pub mod progress_api;
pub mod references;
pub mod resource;
pub mod store;
pub mod training_job;
pub mod violation;
