//! Resolves what a valid ModelDeployment serves.

use std::path::PathBuf;

use bedplate_crds::model_deployment::ServedModel;

use crate::{
    layout::{Layout, model_dir},
    model_deployment::validate::ValidModelDeployment,
    references::{NotFound, References},
    resource::{Kind, ResourceKey},
};

/// What follows from the spec and the place it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelDeploymentPlan {
    /// Absolute `file:` uri, or `hf://` uri.
    pub model_uri: String,
    /// Name the endpoint answers to.
    pub served_model_name: String,
    /// Folder of its progress file.
    pub output_dir: PathBuf,
}

/// The plan of a valid ModelDeployment.
///
/// # Errors
/// A reference to a TrainingJob that is not there.
pub fn plan(
    valid: &ValidModelDeployment,
    references: &References,
    layout: &Layout,
) -> Result<ModelDeploymentPlan, NotFound> {
    let resource = &valid.0;
    let model_uri = match &resource.spec.model {
        ServedModel::Uri { uri } => layout.absolute_uri(uri),
        ServedModel::TrainingJob { name } => {
            let namespace = resource.metadata.namespace.clone();
            let job = ResourceKey { kind: Kind::TrainingJob, namespace, name: name.clone() };
            format!("file://{}", model_dir(&references.dir("spec.model.name", &job)?).display())
        }
    };
    let served_model_name = resource.spec.served_model_name.clone().unwrap_or_else(|| resource.metadata.name.clone());
    let output_dir = layout.output_dir(Kind::ModelDeployment, &resource.metadata, None);
    Ok(ModelDeploymentPlan { model_uri, served_model_name, output_dir })
}
