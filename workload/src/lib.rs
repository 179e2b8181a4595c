//! What every pod does besides its work: it looks what memory it has, reports its progress, leaves its last word, and removes
//! what it made.
//!
//! Nothing here can hold up, slow down or fail the work. Knows nothing of what the work is.
#![forbid(unsafe_code)]

pub mod memory;
pub mod removal;
pub mod reporter;
pub mod termination;

/// The progress API's messages and its client.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod v1alpha1 {
    tonic::include_proto!("bedplate.progress.v1alpha1");
}
