//! The pure stages of a TrainingJob: `validate -> plan -> build`.
//!
//! Owns their order and the list of resources a job waits for. Never looks into a Dataset.

pub mod build;
pub mod plan;
pub mod validate;

use bedplate_crds::{
    job::TrainerJob,
    training_job::{ModelSource, TrainingJobSpec},
};

use crate::{
    layout::Layout,
    references::References,
    resource::{Kind, Resource, ResourceKey},
    violation::Invalid,
};

/// Why there is no job file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainingJobError {
    /// The spec is refused.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The spec does not fit what is around it.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
}

/// The job file of a TrainingJob.
///
/// # Errors
/// Every refused field, or the reference that leads nowhere.
pub fn job(
    resource: &Resource<TrainingJobSpec>,
    references: &References,
    layout: &Layout,
) -> Result<TrainerJob, TrainingJobError> {
    let valid = validate::validate(resource)?;
    let plan = plan::plan(&valid, references, layout)?;
    Ok(build::build(&valid, &plan, layout))
}

/// The Datasets and the TrainingJob it waits for, each once, in the order of the spec.
pub fn dependencies(resource: &Resource<TrainingJobSpec>) -> Vec<ResourceKey> {
    let key =
        |kind, name: &str| ResourceKey { kind, namespace: resource.metadata.namespace.clone(), name: name.to_owned() };
    let mut keys = Vec::new();
    if let ModelSource::TrainingJob { name } = &resource.spec.model {
        keys.push(key(Kind::TrainingJob, name));
    }
    for data in &resource.spec.data {
        let dataset = key(Kind::Dataset, &data.dataset);
        if !keys.contains(&dataset) {
            keys.push(dataset);
        }
    }
    keys
}
