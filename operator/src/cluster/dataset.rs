//! A Dataset on a cluster: its children, and the decision about it.
//!
//! Owns the order of the two. Never talks to a cluster.

pub mod children;
mod decide;

pub use decide::{CONDITIONS, decide};
