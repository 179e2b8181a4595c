//! What was seen of a resource and of all around it at one moment.
//!
//! Owns the shape of it, so that a decision depends on nothing else. Never looks by itself.

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
    },
    jiff::Timestamp,
};

use super::{
    child::{Child, ChildKind},
    gate::Blocker,
};
use crate::{progress_api::snapshot::ProgressSnapshot, resource::ResourceKey};

/// What was seen. Objects that are not there are left out.
#[derive(Clone, Debug)]
pub struct Observed<S> {
    /// Now.
    pub now: Timestamp,
    /// The status in the resource as it was read.
    pub previous: Option<S>,
    /// The ConfigMap of the resource's name.
    pub config_map: Option<ConfigMap>,
    /// The Job of the resource's name (Dataset, TrainingJob).
    pub job: Option<Job>,
    /// The clean-up Job of the resource's name (Dataset, TrainingJob).
    pub cleanup: Option<Job>,
    /// What the API server said when the clean-up Job was refused for good, as in a namespace that is being deleted.
    pub cleanup_refused: Option<String>,
    /// What the API server refused of the children at the last attempt.
    pub child_refused: Option<ChildRefused>,
    /// The Deployment of the resource's name (ModelDeployment).
    pub deployment: Option<Deployment>,
    /// Every pod with the labels `bedplate.dev/kind` and `bedplate.dev/name` of the resource.
    pub pods: Vec<Pod>,
    /// Every PersistentVolumeClaim of the namespace.
    pub claims: Vec<PersistentVolumeClaim>,
    /// One for each of the resource's dependencies (`AnyResource::dependencies`), as found.
    pub dependencies: Vec<Dependency>,
    /// The resources of the namespace that use this one ([`Referrer`]).
    pub referrers: Vec<Referrer>,
    /// Warnings about its Job, ReplicaSets and pods, newest last; may be empty where nothing is wrong.
    pub warnings: Vec<Warning>,
    /// The latest progress that was reported.
    pub progress: Option<ProgressSnapshot>,
    /// What this cluster can do.
    pub capabilities: Capabilities,
}

/// A child that was refused. It is tried again, and told until it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRefused {
    /// Kind of the child.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Why, in the API server's words.
    pub cause: Blocker,
}

impl ChildRefused {
    /// Why, if that child is among those that are to be applied now.
    pub fn among(&self, children: &[Child]) -> Option<&Blocker> {
        let is_it = |child: &Child| child.kind() == self.kind && child.name() == self.name;
        children.iter().any(is_it).then_some(&self.cause)
    }
}

/// What this cluster can do, by discovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether `podgroups` of `scheduling.k8s.io/v1beta1` are served.
    pub pod_groups: bool,
}

/// An event of type Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Kind of the object it is about: `Job`, `ReplicaSet`, `Pod`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Reason, such as `FailedCreate` or `FailedMount`.
    pub reason: String,
    /// What it says.
    pub message: String,
    /// When it was last seen.
    pub time: Timestamp,
}

/// A resource that is referred to.
#[derive(Clone, Debug, PartialEq)]
pub enum Dependency {
    /// There is none of that name.
    Missing(ResourceKey),
    /// A Dataset.
    Dataset(Box<Dataset>),
    /// A TrainingJob.
    TrainingJob(Box<TrainingJob>),
}

/// A resource that may use this one; the loop hands in all of the namespace that name it.
#[derive(Clone, Debug, PartialEq)]
pub enum Referrer {
    /// A TrainingJob.
    TrainingJob(Box<TrainingJob>),
    /// A ModelDeployment.
    ModelDeployment(Box<ModelDeployment>),
}
