//! The operator: pure stages of each kind, and the history store.
//!
//! Owns `validate -> plan -> build` for every kind, values in and values out: no client, clock or randomness. The command
//! line runs these stages, and the reconcilers run the very same ones. They never start a process and never read a file;
//! [`store`], and with feature `controller` the module of that name, are the ones that talk to anything.
#![forbid(unsafe_code)]

mod bounds;
pub mod cluster;
#[cfg(feature = "controller")]
pub mod config;
#[cfg(feature = "controller")]
pub mod controller;
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
