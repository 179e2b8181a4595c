//! The pure stages of a ModelDeployment: `validate -> plan -> build`.
//!
//! Owns their order and the resource a deployment waits for. Never opens a model.

pub mod build;
pub mod plan;
pub mod validate;

use bedplate_crds::{
    job::InferenceJob,
    model_deployment::{ModelDeploymentSpec, ServedModel},
};

use crate::{
    layout::Layout,
    references::{NotFound, References},
    resource::{Kind, Resource, ResourceKey},
    violation::Invalid,
};

/// Why there is no job file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelDeploymentError {
    /// The spec is refused.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A reference leads nowhere.
    #[error(transparent)]
    Reference(#[from] NotFound),
}

/// The job file of a ModelDeployment.
///
/// # Errors
/// Every refused field, or the reference that leads nowhere.
pub fn job(
    resource: &Resource<ModelDeploymentSpec>,
    references: &References,
    layout: &Layout,
) -> Result<InferenceJob, ModelDeploymentError> {
    let valid = validate::validate(resource)?;
    let plan = plan::plan(&valid, references, layout)?;
    Ok(build::build(&valid, &plan, layout))
}

/// The TrainingJob it waits for, if any.
pub fn dependencies(resource: &Resource<ModelDeploymentSpec>) -> Vec<ResourceKey> {
    match &resource.spec.model {
        ServedModel::TrainingJob { name } => vec![ResourceKey {
            kind: Kind::TrainingJob,
            namespace: resource.metadata.namespace.clone(),
            name: name.clone(),
        }],
        ServedModel::Uri { .. } => Vec::new(),
    }
}
