//! The three CustomResourceDefinitions, as they are applied to a cluster.
//!
//! Owns their list. The YAML in `crds/yaml/` is generated from here and never edited.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};

/// Every kind, in the order in which their results depend on each other.
pub fn all() -> [CustomResourceDefinition; 3] {
    [Dataset::crd(), TrainingJob::crd(), ModelDeployment::crd()]
}

#[cfg(test)]
mod tests;
