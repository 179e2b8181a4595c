//! Which resources use another one, so that it cannot go or change below them.
//!
//! Owns what counts as use. A finished TrainingJob no longer needs its Datasets; a ModelDeployment always needs its model.

use bedplate_crds::{
    conditions::ConditionType,
    model_deployment::{ModelDeployment, ServedModel},
    training_job::{ModelSource, TrainingJob},
};

use super::{conditions, observed::Referrer, owner};
use crate::resource::{Kind, Metadata};

/// Names of those that use it, or will.
pub fn of(kind: Kind, metadata: &Metadata, referrers: &[Referrer]) -> Vec<String> {
    let users = referrers.iter().filter(|referrer| refers(referrer, kind, metadata) && !is_done(referrer));
    users.map(name).collect()
}

/// Names of those that read its files at this moment.
pub fn at_work(kind: Kind, metadata: &Metadata, referrers: &[Referrer]) -> Vec<String> {
    let users = referrers.iter().filter(|referrer| refers(referrer, kind, metadata) && !is_done(referrer));
    users.filter(|referrer| has_begun(referrer)).map(name).collect()
}

fn refers(referrer: &Referrer, kind: Kind, metadata: &Metadata) -> bool {
    let (namespace, is_named) = match referrer {
        Referrer::TrainingJob(job) => (&job.metadata.namespace, job_names(job, kind, &metadata.name)),
        Referrer::ModelDeployment(model) => (&model.metadata.namespace, model_names(model, kind, &metadata.name)),
    };
    is_named && namespace.as_ref() == Some(&metadata.namespace)
}

fn job_names(job: &TrainingJob, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Dataset => job.spec.data.iter().any(|data| data.dataset == name),
        Kind::TrainingJob => matches!(&job.spec.model, ModelSource::TrainingJob { name: model } if model == name),
        Kind::ModelDeployment => false,
    }
}

fn model_names(model: &ModelDeployment, kind: Kind, name: &str) -> bool {
    let names = matches!(&model.spec.model, ServedModel::TrainingJob { name: model } if model == name);
    kind == Kind::TrainingJob && names
}

fn is_done(referrer: &Referrer) -> bool {
    match referrer {
        Referrer::ModelDeployment(_) => false,
        Referrer::TrainingJob(job) => {
            let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
            let is = |of| conditions::is_true(conditions, of);
            is(ConditionType::Complete) || is(ConditionType::Failed)
        }
    }
}

fn has_begun(referrer: &Referrer) -> bool {
    match referrer {
        Referrer::ModelDeployment(_) => true,
        Referrer::TrainingJob(job) => {
            let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
            conditions::is_true(conditions, ConditionType::Admitted)
        }
    }
}

fn name(referrer: &Referrer) -> String {
    let (kind, metadata) = match referrer {
        Referrer::TrainingJob(job) => (Kind::TrainingJob, &job.metadata),
        Referrer::ModelDeployment(model) => (Kind::ModelDeployment, &model.metadata),
    };
    format!("{kind} {}", owner::metadata(metadata).name)
}
