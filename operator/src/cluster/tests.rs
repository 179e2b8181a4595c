//! Resources in, children out; and the lives of resources, scene by scene: what was seen, and what is decided about it.

mod children;
mod conditions;
mod dataset;
mod model_deployment;
mod refused;
mod robustness;
mod story;
mod training_job;
mod waiting;

use bedplate_crds::{dataset::DatasetSpec, model_deployment::ModelDeploymentSpec, training_job::TrainingJobSpec};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::{SignedDuration, Timestamp},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    observed::{Capabilities, Observed},
    owner::Owner,
    settings::ClusterSettings,
};
use crate::{
    manifest::parse,
    resource::{AnyResource, Kind, Resource},
};

const SETTINGS: &str = include_str!("tests/settings.yaml");
const RESOURCES: &str = include_str!("tests/resources.yaml");

fn settings() -> ClusterSettings {
    let settings: ClusterSettings = serde_saphyr::from_str(SETTINGS).unwrap();
    ClusterSettings { ca_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(), ..settings }
}

fn resources() -> Vec<AnyResource> {
    parse("resources.yaml", RESOURCES).unwrap()
}

fn dataset() -> Resource<DatasetSpec> {
    let found = resources().into_iter().find_map(|resource| match resource {
        AnyResource::Dataset(dataset) => Some(dataset),
        _ => None,
    });
    found.unwrap()
}

fn training_job() -> Resource<TrainingJobSpec> {
    let found = resources().into_iter().find_map(|resource| match resource {
        AnyResource::TrainingJob(job) => Some(*job),
        _ => None,
    });
    found.unwrap()
}

fn model_deployment() -> Resource<ModelDeploymentSpec> {
    let found = resources().into_iter().find_map(|resource| match resource {
        AnyResource::ModelDeployment(model) => Some(model),
        _ => None,
    });
    found.unwrap()
}

fn owner(kind: Kind, name: &str) -> Owner {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        uid: Some("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".to_owned()),
        generation: Some(1),
        ..ObjectMeta::default()
    };
    Owner::new(kind, &metadata)
}

/// So many seconds after noon.
fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

fn nothing<S>() -> Observed<S> {
    Observed {
        now: at(0),
        previous: None,
        config_map: None,
        job: None,
        cleanup: None,
        cleanup_refused: None,
        child_refused: None,
        deployment: None,
        pods: Vec::new(),
        claims: vec![claim("bedplate-storage"), claim("bedplate-inputs")],
        dependencies: Vec::new(),
        referrers: Vec::new(),
        warnings: Vec::new(),
        progress: None,
        capabilities: Capabilities::default(),
    }
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn claim(name: &str) -> PersistentVolumeClaim {
    object(json!({ "metadata": { "name": name } }))
}

/// The Job that was applied, with what its controller says of it.
fn with_status(job: &Job, status: Value) -> Job {
    let mut job = job.clone();
    job.metadata.uid = Some(format!("uid-of-{}", job.metadata.name.clone().unwrap()));
    job.status = Some(object(status));
    job
}

/// A pod of a Job.
fn pod(job: &Job, index: u32, suffix: &str, status: Value) -> Pod {
    let name = job.metadata.name.clone().unwrap();
    object(json!({
        "metadata": {
            "name": format!("{name}-{index}-{suffix}"),
            "creationTimestamp": at(i64::from(suffix.as_bytes()[0])).to_string(),
            "labels": { "batch.kubernetes.io/job-completion-index": index.to_string() },
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.metadata.uid, "controller": true,
            }],
        },
        "status": status,
    }))
}

fn running() -> Value {
    json!({
        "phase": "Running",
        "startTime": at(20).to_string(),
        "conditions": [{ "type": "Ready", "status": "True" }],
    })
}

fn unschedulable(message: &str) -> Value {
    let scheduled = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message });
    json!({ "phase": "Pending", "conditions": [scheduled] })
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({ "waiting": { "reason": reason, "message": message } });
    json!({ "phase": "Pending", "containerStatuses": [container(state)] })
}

/// A pod whose process ended with that code and that last message.
fn ended(code: i32, message: &str) -> Value {
    let end = json!({ "exitCode": code, "message": message, "finishedAt": at(60).to_string(), "reason": "Error" });
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "startTime": at(20).to_string(),
        "containerStatuses": [container(json!({ "terminated": end }))],
    })
}

/// The last message of a process of Bedplate's that ended early.
fn last_words(code: i32, sentence: &str) -> String {
    json!({ "exitCode": code, "message": sentence }).to_string()
}

fn container(state: Value) -> Value {
    json!({
        "name": "workload", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    })
}

fn job_ended(how: &str, reason: &str) -> Value {
    let message = format!("Job has {how}");
    let time = at(70).to_string();
    let end =
        json!({ "type": how, "status": "True", "reason": reason, "message": message, "lastTransitionTime": time });
    json!({ "conditions": [end], "failed": 3 })
}
