//! Resolves what a valid TrainingJob refers to, and decides how many ranks run and where its output lies.

use std::path::PathBuf;

use bedplate_crds::training_job::ModelSource;

use crate::{
    layout::{Layout, model_dir},
    references::{NotFound, References},
    resource::{Kind, ResourceKey},
    training_job::validate::ValidTrainingJob,
};

/// What follows from the spec and the place it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingJobPlan {
    /// Folder that receives the checkpoints and the model.
    pub output_dir: PathBuf,
    /// Folders of the Datasets, in the order of `spec.data`.
    pub dataset_dirs: Vec<PathBuf>,
    /// Folder of the model to continue from; none for a config, and for a model that the trainer downloads itself.
    pub model_dir: Option<PathBuf>,
    /// Processes.
    pub world_size: u32,
    /// Where rank 0 listens; none with one rank.
    pub rendezvous: Option<String>,
}

/// Why a valid TrainingJob cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A reference leads nowhere.
    #[error(transparent)]
    Reference(#[from] NotFound),
    /// Several ranks have no address to meet at.
    #[error("spec.parallelism.data is {world_size}, which needs a rendezvous address; the layout has none")]
    Rendezvous {
        /// Processes asked for.
        world_size: u32,
    },
}

/// The plan of a valid TrainingJob.
///
/// # Errors
/// A reference to a resource that is not there, or several ranks without a rendezvous address.
pub fn plan(valid: &ValidTrainingJob, references: &References, layout: &Layout) -> Result<TrainingJobPlan, PlanError> {
    let resource = &valid.0;
    let key =
        |kind, name: &str| ResourceKey { kind, namespace: resource.metadata.namespace.clone(), name: name.to_owned() };
    let dataset_dirs = (resource.spec.data.iter().enumerate())
        .map(|(i, data)| references.dir(&format!("spec.data[{i}].dataset"), &key(Kind::Dataset, &data.dataset)))
        .collect::<Result<_, _>>()?;
    let model_dir = match &resource.spec.model {
        ModelSource::Config { .. } => None,
        ModelSource::TrainingJob { name } => {
            Some(model_dir(&references.dir("spec.model.name", &key(Kind::TrainingJob, name))?))
        }
        ModelSource::Uri { uri } => layout.file_path(uri),
    };
    let world_size = resource.spec.parallelism.data;
    let rendezvous = match (world_size, &layout.rendezvous) {
        (1, _) => None,
        (_, Some(address)) => Some(address.clone()),
        (_, None) => return Err(PlanError::Rendezvous { world_size }),
    };
    let output_dir = layout.output_dir(Kind::TrainingJob, &resource.metadata, resource.spec.storage.as_ref());
    Ok(TrainingJobPlan { output_dir, dataset_dirs, model_dir, world_size, rendezvous })
}
