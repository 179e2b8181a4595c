//! Tells the history what runs and what it consumes.
//!
//! Owns the edges of the lineage. Never waits for a database: the history carries its journal over by itself.

use std::path::{Path, PathBuf};

use bedplate_crds::{
    job::manifest::DatasetManifest,
    model_deployment::ServedModel,
    training_job::ModelSource,
    uri::{ShownUri, hide_secrets},
};
use bedplate_operator::resource::AnyResource;
use serde_json::Value;

use crate::{
    history::{ArtefactKind, Attempt, History, HistoryError, LineageEdge, NewAttempt},
    plan::{Job, Task},
    progress::{Progress, tail::Tail},
    state::records::to_manifest,
};

/// The history of the run, unless it keeps none.
#[derive(Debug)]
pub struct Chronicle {
    history: Option<History>,
}

/// What a task consumes: kind, digest (or the uri where none is known), place.
type Input = (ArtefactKind, String, String);

impl Chronicle {
    /// Around an open history, if there is one.
    pub fn new(history: Option<History>) -> Self {
        Self { history }
    }

    /// An attempt is about to start.
    ///
    /// # Errors
    /// When the journal takes no more.
    pub fn begin(&self, task: &Task) -> Result<Option<Attempt>, HistoryError> {
        let Some(history) = &self.history else { return Ok(None) };
        let [spec, job] = [to_manifest(&task.resource)["spec"].take(), job_json(&task.job)].map(without_secrets);
        let attempt = history.begin_attempt(&NewAttempt {
            kind: task.key.kind,
            namespace: task.key.namespace.clone(),
            name: task.key.name.clone(),
            spec,
            job,
            started_at: chrono::Utc::now(),
        })?;
        for (artefact, digest, uri) in inputs(task) {
            history.link(&LineageEdge { attempt: attempt.clone(), artefact, digest, uri })?;
        }
        Ok(Some(attempt))
    }

    /// It has ended; a process that was killed by a signal has 128 and its number, and counts as failed.
    ///
    /// # Errors
    /// When the journal takes no more.
    pub fn end(&self, attempt: &Attempt, exit_code: i32) -> Result<(), HistoryError> {
        let Some(history) = &self.history else { return Ok(()) };
        history.end_attempt(attempt, Some(exit_code))
    }

    /// Waits, not for long, until everything is recorded; otherwise says why it is not.
    pub async fn close(self) -> Option<String> {
        self.history?.close().await
    }
}

/// What may be kept of a spec or a job file.
fn without_secrets(mut value: Value) -> Value {
    hide_secrets(&mut value);
    value
}

/// The job file's content.
pub fn job_json(job: &Job) -> Value {
    let value = match job {
        Job::Dataset(job) => serde_json::to_value(job),
        Job::Trainer(job) => serde_json::to_value(job),
        Job::Inference(job) => serde_json::to_value(job),
    };
    value.expect("job files are plain data")
}

fn inputs(task: &Task) -> Vec<Input> {
    match (&task.job, &task.resource) {
        (Job::Trainer(job), AnyResource::TrainingJob(resource)) => {
            let datasets = job.dataset_dirs.iter().filter_map(|dir| dataset(dir));
            let model = match &resource.spec.model {
                ModelSource::Config { .. } => None,
                ModelSource::TrainingJob { .. } => job.model_dir.as_deref().and_then(checkpoint),
                ModelSource::Uri { uri } => Some(model_elsewhere(uri)),
            };
            datasets.chain(model).collect()
        }
        (Job::Inference(job), AnyResource::ModelDeployment(resource)) => match &resource.spec.model {
            ServedModel::TrainingJob { .. } => {
                let dir = job.model_uri.strip_prefix("file://").map(PathBuf::from);
                dir.as_deref().and_then(checkpoint).into_iter().collect()
            }
            ServedModel::Uri { .. } => vec![model_elsewhere(&job.model_uri)],
        },
        _ => Vec::new(),
    }
}

/// A model that nobody hashed, by its uri.
fn model_elsewhere(uri: &str) -> Input {
    let shown = ShownUri::new(uri).to_string();
    (ArtefactKind::Model, shown.clone(), shown)
}

/// A Dataset by the digest in its manifest.
fn dataset(dir: &Path) -> Option<Input> {
    let bytes = std::fs::read(dir.join("manifest.json")).ok()?;
    let manifest: DatasetManifest = serde_json::from_slice(&bytes).ok()?;
    Some((ArtefactKind::Dataset, manifest.digest, dir.display().to_string()))
}

/// The final checkpoint of the TrainingJob whose model lies there, by the digest that its trainer reported.
fn checkpoint(model_dir: &Path) -> Option<Input> {
    let mut progress = Progress::default();
    let output_dir = model_dir.parent()?;
    Tail::from_start(&bedplate_operator::layout::progress_file(output_dir)).read_all(|event| progress.apply(&event));
    Some((ArtefactKind::Checkpoint, progress.completed?, model_dir.display().to_string()))
}
