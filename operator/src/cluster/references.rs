//! The resources that one refers to: where their artefacts lie, and whether they are finished.
//!
//! Owns what "finished" means to somebody who waits. Never waits.

use bedplate_crds::{
    conditions::{ConditionType, Reason},
    dataset::{Dataset, Storage, status::DatasetPhase},
    training_job::{TrainingJob, status::TrainingJobPhase},
};

use super::{conditions, observed::Dependency, owner, place::Place};
use crate::{
    references::References,
    resource::{Kind, ResourceKey},
};

/// Whether a resource can be used by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is finished; the digest of what it made, if it is known.
    Ready(Option<String>),
    /// It is not; why, in words for the condition of whoever waits.
    Waiting(String),
    /// It ended early.
    Failed(String),
    /// It is not there, or is being deleted.
    Missing(String),
}

/// Their folders; their claims are mounted on the way.
pub fn of(dependencies: &[Dependency], place: &mut Place) -> References {
    let found: Vec<_> = dependencies.iter().filter_map(location).collect();
    for (_, storage) in &found {
        place.read_from(storage.as_ref());
    }
    References::located(found, &place.layout)
}

fn location(dependency: &Dependency) -> Option<(ResourceKey, Option<Storage>)> {
    let storage = match dependency {
        Dependency::Missing(_) => return None,
        Dependency::Dataset(dataset) => dataset.spec.storage.clone(),
        Dependency::TrainingJob(job) => job.spec.storage.clone(),
    };
    Some((key(dependency), storage))
}

/// What it is called.
pub fn key(dependency: &Dependency) -> ResourceKey {
    let (kind, metadata) = match dependency {
        Dependency::Missing(key) => return key.clone(),
        Dependency::Dataset(dataset) => (Kind::Dataset, &dataset.metadata),
        Dependency::TrainingJob(job) => (Kind::TrainingJob, &job.metadata),
    };
    let metadata = owner::metadata(metadata);
    ResourceKey { kind, namespace: metadata.namespace, name: metadata.name }
}

/// Whether it can be used.
pub fn readiness(dependency: &Dependency) -> Readiness {
    match dependency {
        Dependency::Missing(key) => Readiness::Missing(format!("there is no {key}; apply it")),
        Dependency::Dataset(dataset) => of_dataset(dataset),
        Dependency::TrainingJob(job) => of_training_job(job),
    }
}

fn of_dataset(dataset: &Dataset) -> Readiness {
    let name = owner::metadata(&dataset.metadata).name;
    if dataset.metadata.deletion_timestamp.is_some() {
        return Readiness::Missing(format!("Dataset {name} is being deleted"));
    }
    let status = dataset.status.clone().unwrap_or_default();
    // A status about an older spec says nothing of the shards that the newer one asks for.
    let is_current = status.observed_generation == dataset.metadata.generation;
    match status.phase {
        Some(DatasetPhase::Ready) if is_current => Readiness::Ready(status.digest),
        Some(DatasetPhase::Failed) if is_current => {
            Readiness::Failed(failure("Dataset", &name, status.reason, &status.conditions))
        }
        phase => Readiness::Waiting(format!("Dataset {name} is {}", phase_name(phase))),
    }
}

fn of_training_job(job: &TrainingJob) -> Readiness {
    let name = owner::metadata(&job.metadata).name;
    if job.metadata.deletion_timestamp.is_some() {
        return Readiness::Missing(format!("TrainingJob {name} is being deleted"));
    }
    let status = job.status.clone().unwrap_or_default();
    match status.phase {
        Some(TrainingJobPhase::Complete) => Readiness::Ready(status.checkpoint.map(|checkpoint| checkpoint.digest)),
        Some(TrainingJobPhase::Failed) => {
            Readiness::Failed(failure("TrainingJob", &name, status.reason, &status.conditions))
        }
        phase => Readiness::Waiting(format!("TrainingJob {name} is {}", phase_name(phase))),
    }
}

fn phase_name(phase: Option<impl std::fmt::Debug>) -> String {
    phase.map_or_else(|| "new".to_owned(), |phase| format!("{phase:?}"))
}

fn failure(
    kind: &str,
    name: &str,
    reason: Option<Reason>,
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
) -> String {
    let reason = reason.unwrap_or(Reason::WorkloadFailed);
    let message = conditions::find(conditions, ConditionType::Failed).map_or("", |condition| &condition.message);
    format!("{kind} {name} failed ({reason}): {message}")
}
