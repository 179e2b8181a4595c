//! The objects that a resource is made into.
//!
//! Owns the closed list of their kinds. Never talks to a cluster: the loop applies them.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Service},
        policy::v1::PodDisruptionBudget,
        scheduling::v1beta1::PodGroup,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Serialize;

/// One object to apply, whole: server-side apply, field manager `bedplate-operator`, forced.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Child {
    /// Holds the job file and the authority of the progress API.
    ConfigMap(Box<ConfigMap>),
    /// Gives the ranks of a TrainingJob host names, or a ModelDeployment its address.
    Service(Box<Service>),
    /// Runs a Dataset, a TrainingJob or a clean-up. Only in a decision when there is none of that name: a Job's template
    /// cannot change.
    Job(Box<Job>),
    /// Runs a ModelDeployment.
    Deployment(Box<Deployment>),
    /// Lets a drain take one pod of a ModelDeployment at a time.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// Lets the scheduler place all pods of a TrainingJob or none.
    PodGroup(Box<PodGroup>),
}

/// Kinds of children, for what is deleted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ChildKind {
    /// `v1`
    ConfigMap,
    /// `v1`
    Service,
    /// `batch/v1`
    Job,
    /// `apps/v1`
    Deployment,
    /// `policy/v1`
    PodDisruptionBudget,
    /// `scheduling.k8s.io/v1beta1`
    PodGroup,
}

impl Child {
    /// Its kind.
    pub fn kind(&self) -> ChildKind {
        match self {
            Self::ConfigMap(_) => ChildKind::ConfigMap,
            Self::Service(_) => ChildKind::Service,
            Self::Job(_) => ChildKind::Job,
            Self::Deployment(_) => ChildKind::Deployment,
            Self::PodDisruptionBudget(_) => ChildKind::PodDisruptionBudget,
            Self::PodGroup(_) => ChildKind::PodGroup,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ConfigMap(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
            Self::Deployment(object) => &object.metadata,
            Self::PodDisruptionBudget(object) => &object.metadata,
            Self::PodGroup(object) => &object.metadata,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}
