//! Training state to checkpoint and back.
//!
//! Owns the names of the tensors and which checkpoint an attempt starts from. The files and their safety are the
//! engine's.

use std::path::PathBuf;

use bedplate_crds::job::TrainerJob;
use bedplate_engine::{
    AdamW, ParamLayout, Weights,
    checkpoint::{
        Checkpoint, CheckpointError, CheckpointPhase, CheckpointReader, CheckpointStore, CheckpointTensors,
        TrainerState,
    },
    safetensors_file::NamedTensor,
};

use crate::{
    export,
    recipe::{Recipe, RecipeError, first_difference},
};

/// Folder below the job's output.
const FOLDER: &str = "checkpoints";
/// PyTorch's names of AdamW's moments.
const FIRST_MOMENT: &str = "exp_avg";
const SECOND_MOMENT: &str = "exp_avg_sq";

/// Why no attempt can start.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No checkpoint can be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The newest checkpoint is of another job.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

/// Where an attempt starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the beginning.
    Fresh,
    /// At a checkpoint.
    Resume(Box<Checkpoint>),
    /// Nowhere: the model of the last step is there already.
    Complete {
        /// Digest of the last checkpoint.
        digest: String,
    },
}

impl Start {
    /// The checkpoint to resume from.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Resume(checkpoint) => Some(checkpoint),
            Self::Fresh | Self::Complete { .. } => None,
        }
    }
}

/// One job's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    store: CheckpointStore,
    output_dir: PathBuf,
    max_steps: u64,
}

impl Checkpoints {
    /// Those of `job`.
    pub fn of(job: &TrainerJob) -> Self {
        let store = CheckpointStore::new(&job.output_dir.join(FOLDER), job.spec.checkpoint.keep as usize);
        Self { store, output_dir: job.output_dir.clone(), max_steps: job.spec.schedule.max_steps }
    }

    /// The newest whole checkpoint, if it belongs to this recipe. Damaged ones are passed over with a warning.
    pub fn find(&self, recipe: &Recipe) -> Result<Start, FindError> {
        let found = self.store.newest_whole()?;
        for rejected in &found.rejected {
            tracing::warn!(path = %rejected.path.display(), reason = rejected.reason, "damaged checkpoint passed over");
        }
        let Some(checkpoint) = found.checkpoint else { return Ok(Start::Fresh) };
        if let Some((field, was, now)) = first_difference(&checkpoint.manifest.state.recipe, recipe) {
            return Err(RecipeError { field, was, now, path: checkpoint.path }.into());
        }
        let is_last = checkpoint.manifest.state.step >= self.max_steps;
        if is_last && export::digest_of(&self.output_dir).as_deref() == Some(checkpoint.digest.as_str()) {
            return Ok(Start::Complete { digest: checkpoint.digest });
        }
        Ok(Start::Resume(Box::new(checkpoint)))
    }

    /// Writes a checkpoint and returns once it is durable.
    pub fn write(
        &self,
        state: &TrainerState,
        weights: &Weights,
        optimizer: &AdamW,
        observe: &mut dyn FnMut(CheckpointPhase),
    ) -> Result<Checkpoint, CheckpointError> {
        let (first, second) = optimizer.moments();
        let layout = weights.layout();
        let weights = tensors(layout, "", weights.as_slice());
        let mut moments = tensors(layout, &format!("{FIRST_MOMENT}."), first);
        moments.extend(tensors(layout, &format!("{SECOND_MOMENT}."), second));
        self.store.write(state, CheckpointTensors { weights: &weights, optimizer: &moments }, observe)
    }
}

/// Reads a checkpoint's tensors into the weights and the optimiser.
pub fn restore(checkpoint: &Checkpoint, weights: &mut Weights, optimizer: &mut AdamW) -> Result<(), CheckpointError> {
    let mut reader = CheckpointReader::open(checkpoint)?;
    let layout = weights.layout().clone();
    let (first, second) = optimizer.restore(checkpoint.manifest.state.step);
    for param in layout.params() {
        let mut read =
            |name: &str, flat: &mut [f32]| reader.read_f32(name, &param.shape, &mut flat[param.range.clone()]);
        read(&param.name, weights.as_mut_slice())?;
        read(&format!("{FIRST_MOMENT}.{}", param.name), first)?;
        read(&format!("{SECOND_MOMENT}.{}", param.name), second)?;
    }
    Ok(())
}

/// The tensors of a flat vector, each name behind `prefix`.
pub fn tensors<'data>(layout: &ParamLayout, prefix: &str, data: &'data [f32]) -> Vec<NamedTensor<'data>> {
    let tensor = |param: &bedplate_engine::ParamSpec| NamedTensor {
        name: format!("{prefix}{}", param.name),
        shape: param.shape.clone(),
        data: &data[param.range.clone()],
    };
    layout.params().iter().map(tensor).collect()
}
