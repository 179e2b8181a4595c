//! The progress API: what pods report, as the reconcilers read it and as the history keeps it.
//!
//! Owns everything between a pod's progress file and the status, the metrics and the store. Never decides what runs:
//! with every report lost, jobs still start, end and are told apart.

#[cfg(feature = "controller")]
pub mod hub;
#[cfg(feature = "controller")]
pub mod review;
#[cfg(feature = "controller")]
pub mod server;
pub mod snapshot;
#[cfg(feature = "controller")]
pub mod tls;

/// The messages and the service, from `proto/bedplate/progress/v1alpha1/progress.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
#[cfg(feature = "controller")]
pub mod v1alpha1 {
    tonic::include_proto!("bedplate.progress.v1alpha1");
}
