//! The objects around a pod: ConfigMap, Job, and the metadata of every child.
//!
//! Owns what the kinds share. Never decides when one is made.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec, PodFailurePolicy},
        core::v1::{ConfigMap, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Serialize;

use super::{
    failure_policy::RESTART_BUDGET,
    names,
    owner::Owner,
    place::{CA_FILE, JOB_FILE},
    settings::ClusterSettings,
};

/// Annotation of a Job: hash of the part of the spec that it was made from.
pub const SPEC_ANNOTATION: &str = "bedplate.dev/spec";

/// Metadata of a child of that name. It lies in its owner's namespace, which the loop applies it to.
pub fn metadata(owner: &Owner, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        labels: Some(names::labels(owner.kind, &owner.name)),
        owner_references: Some(vec![owner.reference()]),
        ..ObjectMeta::default()
    }
}

/// The ConfigMap with the job file. That of a Job is immutable: what its later pods read is what its first one read,
/// whoever edits it and whatever a newer operator would write.
pub fn config_map(
    owner: &Owner,
    settings: &ClusterSettings,
    job_file: &impl Serialize,
    is_immutable: bool,
) -> ConfigMap {
    let mut data = BTreeMap::from([(JOB_FILE.to_owned(), format!("{:#}\n", serde_json::json!(job_file)))]);
    if settings.progress.is_some() {
        data.insert(CA_FILE.to_owned(), settings.ca_pem.clone());
    }
    ConfigMap {
        metadata: metadata(owner, names::config_map(owner.kind, &owner.name)),
        data: Some(data),
        immutable: is_immutable.then_some(true),
        ..ConfigMap::default()
    }
}

/// What a Job is made from.
#[derive(Debug)]
pub struct JobPlan {
    /// Its name.
    pub name: String,
    /// Processes, each a pod with an index of its own.
    pub ranks: i32,
    /// Its pods.
    pub template: PodTemplateSpec,
    /// What follows from a pod's failure.
    pub pod_failure_policy: Option<PodFailurePolicy>,
    /// Hash of the part of the spec it is made from.
    pub spec_hash: String,
}

/// The Job.
pub fn job(owner: &Owner, plan: JobPlan) -> Job {
    let mut metadata = metadata(owner, plan.name);
    metadata.annotations = Some(BTreeMap::from([(SPEC_ANNOTATION.to_owned(), plan.spec_hash)]));
    let spec = JobSpec {
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(plan.ranks),
        parallelism: Some(plan.ranks),
        backoff_limit: Some(RESTART_BUDGET.saturating_mul(plan.ranks)),
        pod_failure_policy: plan.pod_failure_policy,
        // Two processes on one folder would undo each other's work: the next one starts when the last one is gone.
        pod_replacement_policy: Some("Failed".to_owned()),
        suspend: Some(false),
        template: plan.template,
        ..JobSpec::default()
    };
    Job { metadata, spec: Some(spec), status: None }
}

/// Hash of what a Job is made from.
pub fn spec_hash(of: &impl Serialize) -> String {
    const DIGITS: usize = 16;
    let mut hash = names::digest(serde_json::json!(of).to_string().as_bytes());
    hash.truncate(DIGITS);
    hash
}
