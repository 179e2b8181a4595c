//! Runs the real `bedplate-dataset` on real folders and servers.
#![allow(clippy::unwrap_used, reason = "helpers of tests stop as tests do")]

mod bad_input;
mod caching;
mod digest;
mod errors;
mod foreign;
mod formats;
mod harness;
mod interruption;
mod memory;
mod reach;
mod remote;
mod reporting;
mod splits;
