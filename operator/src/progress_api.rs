//! The progress API: what pods report, as the reconcilers read it and as the history keeps it.
//!
//! Owns everything between a pod's progress file and the status, the metrics and the store. Never decides what runs:
//! with every report lost, jobs still start, end and are told apart.

pub mod snapshot;
