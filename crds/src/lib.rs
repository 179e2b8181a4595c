//! The API of the platform: custom resources (`bedplate.dev/v1alpha1`) and the job files handed to pods.
//!
//! Owns the types that cross a process border. Never owns how any of it is carried out: no I/O, no client, no clock.
//! With feature `kube` the specs become custom resources; pods build without it.
#![forbid(unsafe_code)]

#[cfg(feature = "kube")]
pub mod conditions;
#[cfg(feature = "kube")]
pub mod custom_resource_definition;
pub mod dataset;
pub mod job;
pub mod labels;
pub mod model_deployment;
pub mod pod_template;
pub mod quantity;
pub mod schema;
pub mod training_job;
pub mod uri;

/// API group of every Bedplate kind.
pub const GROUP: &str = "bedplate.dev";
/// API version of every Bedplate kind.
pub const VERSION: &str = "v1alpha1";

#[cfg(test)]
mod tests;
