//! The children of a Dataset or a TrainingJob before any of them is applied, and why there may be none.
//!
//! Owns the error that the three kinds share. Never decides when a child is made.

use bedplate_crds::conditions::Reason;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Service},
    scheduling::v1beta1::PodGroup,
};

use super::{child::Child, objects::SPEC_ANNOTATION, owner::Owner, pod::OverrideError};
use crate::{
    model_deployment::ModelDeploymentError,
    references::NotFound,
    resource::{Metadata, TRACEPARENT_ANNOTATION},
    training_job::{TrainingJobError, plan::PlanError},
    violation::{Invalid, Violation},
};

/// What a Job needs around it, and the Job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobChildren {
    /// Holds the job file.
    pub config_map: ConfigMap,
    /// Gives several ranks their host names.
    pub service: Option<Service>,
    /// Makes several ranks a gang.
    pub pod_group: Option<PodGroup>,
    /// Runs it.
    pub job: Job,
    /// Claims that its pods mount.
    pub claims: Vec<String>,
}

impl JobChildren {
    /// Hash of the part of the spec that the Job is made from.
    pub fn spec_hash(&self) -> &str {
        let annotations = self.job.metadata.annotations.as_ref();
        annotations.and_then(|annotations| annotations.get(SPEC_ANNOTATION)).map_or("", String::as_str)
    }

    /// All of them, each after what it needs.
    pub fn all(&self) -> Vec<Child> {
        let mut children = vec![Child::ConfigMap(Box::new(self.config_map.clone()))];
        children.extend(self.service.clone().map(|service| Child::Service(Box::new(service))));
        children.extend(self.pod_group.clone().map(|group| Child::PodGroup(Box::new(group))));
        children.push(Child::Job(Box::new(self.job.clone())));
        children
    }
}

/// Why a resource has no children.
#[derive(Debug, thiserror::Error)]
pub enum ChildrenError {
    /// The spec is refused.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A path that no pod sees.
    #[error(transparent)]
    Path(#[from] Violation),
    /// A reference leads nowhere.
    #[error("{field}: there is no {wanted}; apply it, and this goes on by itself", field = .0.field, wanted = .0.wanted)]
    Reference(NotFound),
    /// Its own pod settings do not fit.
    #[error(transparent)]
    PodTemplate(#[from] OverrideError),
    /// Several ranks without an address to meet at: an error of the operator.
    #[error(transparent)]
    Plan(PlanError),
}

impl ChildrenError {
    /// The reason in the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Reference(_) => Reason::ReferenceNotFound,
            Self::Invalid(_) | Self::Path(_) | Self::PodTemplate(_) | Self::Plan(_) => Reason::InvalidSpec,
        }
    }
}

impl From<TrainingJobError> for ChildrenError {
    fn from(error: TrainingJobError) -> Self {
        match error {
            TrainingJobError::Invalid(invalid) => Self::Invalid(invalid),
            TrainingJobError::Plan(PlanError::Reference(not_found)) => Self::Reference(not_found),
            TrainingJobError::Plan(plan) => Self::Plan(plan),
        }
    }
}

impl From<ModelDeploymentError> for ChildrenError {
    fn from(error: ModelDeploymentError) -> Self {
        match error {
            ModelDeploymentError::Invalid(invalid) => Self::Invalid(invalid),
            ModelDeploymentError::Reference(not_found) => Self::Reference(not_found),
        }
    }
}

/// The metadata that the job file is made from: with the trace that the resource belongs to where nobody gave it another.
pub fn traced(metadata: &Metadata, owner: &Owner) -> Metadata {
    let mut metadata = metadata.clone();
    if let (None, Some(context)) = (metadata.annotations.get(TRACEPARENT_ANNOTATION), &owner.traceparent) {
        metadata.annotations.insert(TRACEPARENT_ANNOTATION.to_owned(), context.clone());
    }
    metadata
}
