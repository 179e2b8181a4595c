//! The trainer as it is run: real processes, real files, small models.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod bad_input;
mod fixture;
mod handover;
mod killed;
mod learning;
mod ranks;
mod reporting;
mod resume;
mod stopping;
