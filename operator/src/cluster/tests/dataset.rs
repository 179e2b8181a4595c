//! The life of a Dataset.

use bedplate_crds::dataset::{DatasetSpec, status::DatasetStatus};
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::{
    at, claim, dataset, ended, job_ended, last_words, nothing, owner, pod, running, settings, story::Story, waiting,
    with_status,
};
use crate::{
    cluster::{
        child::Child,
        dataset::decide,
        decision::{Decision, Finalizer},
        observed::{Observed, Referrer, Warning},
    },
    resource::{Kind, Resource},
};

fn now(seen: &Observed<DatasetStatus>) -> Decision<DatasetStatus> {
    decide(&dataset(), &owner(Kind::Dataset, "sources"), seen, &settings())
}

/// The Job of the decision before.
pub fn job_of<S>(decision: &Decision<S>) -> Job {
    let job = decision.apply.iter().find_map(|child| match child {
        Child::Job(job) => Some((**job).clone()),
        _ => None,
    });
    job.unwrap()
}

/// The seen as it is after the decision was carried out.
pub fn carry_out<S>(seen: &mut Observed<S>, decision: &Decision<S>) {
    for child in &decision.apply {
        if let Child::ConfigMap(map) = child {
            seen.config_map = Some((**map).clone());
        }
    }
    seen.job = Some(with_status(&job_of(decision), json!({})));
}

const DONE: &str = r#"{"exitCode":0,"digest":"abc","dataset":{"documents":7,"bytes":700,"tokens":300,"shards":2}}"#;

#[test]
fn the_life_of_a_dataset() {
    let mut story = Story::new(nothing());
    story.seen.claims = vec![claim("bedplate-inputs")];
    story.scene("its storage is not there", now);
    story.seen.claims.push(claim("bedplate-storage"));
    let made = story.scene("the storage is there", now);
    carry_out(&mut story.seen, &made);
    story.scene("the Job is there, its pod not yet", now);
    let job = story.seen.job.clone().unwrap();
    let pull = waiting("ImagePullBackOff", "Back-off pulling image \"localhost/bedplate-dataset:test\"");
    story.seen.pods = vec![pod(&job, 0, "a", pull)];
    story.scene("its image is not on the node", now);
    story.seen.pods = vec![pod(&job, 0, "a", running())];
    story.scene("it runs", now);
    story.seen.pods = vec![pod(&job, 0, "a", ended(137, ""))];
    story.scene("it was killed", now);
    story.seen.pods.push(pod(&job, 0, "b", ended(0, DONE)));
    story.scene("another pod did it, and the Job does not know yet", now);
    story.seen.job = Some(with_status(&job, job_ended("Complete", "CompletionsReached")));
    story.scene("it is complete", now);
    story.seen.pods.clear();
    story.scene("its pods are gone", now);
    story.seen.job = None;
    story.scene("its Job is gone", now);
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_dataset_that_fails_says_which_field_and_is_made_again_when_that_changes() {
    let mut story = Story::new(nothing());
    let made = story.scene("new", now);
    carry_out(&mut story.seen, &made);
    let job = with_status(&job_of(&made), job_ended("Failed", "PodFailurePolicy"));
    let words = last_words(11, "spec.sources[0].uri: there is no folder corpus; put it into the inputs");
    story.seen.pods = vec![pod(&job, 0, "a", ended(11, &words))];
    story.seen.job = Some(job);
    story.scene("it failed", now);
    let corrected = |seen: &Observed<DatasetStatus>| {
        let mut resource: Resource<DatasetSpec> = dataset();
        resource.spec.sources[0].uri = "file:corpora".to_owned();
        let owner = crate::cluster::owner::Owner { generation: 2, ..owner(Kind::Dataset, "sources") };
        decide(&resource, &owner, seen, &settings())
    };
    story.scene("the spec is corrected", corrected);
    (story.seen.job, story.seen.config_map) = (None, None);
    story.seen.pods.clear();
    story.scene("the old Job is gone", corrected);
    insta::assert_snapshot!(story.text());
}

#[test]
fn shards_that_a_training_job_reads_are_not_made_anew_below_it() {
    let mut story = Story::new(nothing());
    let made = story.scene("new", now);
    carry_out(&mut story.seen, &made);
    let job = with_status(&job_of(&made), job_ended("Complete", "CompletionsReached"));
    story.seen.job = Some(job);
    story.scene("complete", now);
    let changed = |seen: &Observed<DatasetStatus>| {
        let mut resource = dataset();
        resource.spec.packing.sequence_length = 128;
        decide(&resource, &owner(Kind::Dataset, "sources"), seen, &settings())
    };
    story.seen.referrers = vec![reader("True", "False")];
    let waits = story.scene("changed, and in use", changed);
    assert!(waits.delete.is_empty() && waits.apply.is_empty());
    story.seen.referrers = vec![reader("True", "True")];
    let redone = story.scene("changed, and free", changed);
    assert_eq!(redone.delete.len(), 2);
    insta::assert_snapshot!(story.text());
}

/// A TrainingJob that reads the shards.
pub fn reader(admitted: &str, complete: &str) -> Referrer {
    let condition = |of: &str, status: &str| json!({ "type": of, "status": status, "reason": "R", "message": "", "lastTransitionTime": at(0).to_string() });
    Referrer::TrainingJob(Box::new(super::object(json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "TrainingJob",
        "metadata": { "name": "tiny", "namespace": "team" },
        "spec": super::training_job().spec,
        "status": { "conditions": [condition("Admitted", admitted), condition("Complete", complete)] },
    }))))
}

#[test]
fn a_quota_that_is_used_up_is_named() {
    let mut story = Story::new(nothing());
    let made = story.scene("new", now);
    carry_out(&mut story.seen, &made);
    story.seen.warnings = vec![Warning {
        kind: "Job".to_owned(),
        name: "sources-dataset".to_owned(),
        reason: "FailedCreate".to_owned(),
        message: "Error creating: pods \"x\" is forbidden: exceeded quota: small, requested: cpu=2".to_owned(),
        time: at(0),
    }];
    story.scene("no pod was made", now);
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_dataset_goes_after_its_pods_and_its_files() {
    let going = |seen: &Observed<DatasetStatus>| {
        let owner = crate::cluster::owner::Owner { deleting_since: Some(at(20)), ..owner(Kind::Dataset, "sources") };
        decide(&dataset(), &owner, seen, &settings())
    };
    let mut story = Story::new(nothing());
    let made = story.scene("new", now);
    carry_out(&mut story.seen, &made);
    let job = story.seen.job.clone().unwrap();
    story.seen.pods = vec![pod(&job, 0, "a", running())];
    story.seen.referrers = vec![reader("False", "False")];
    story.scene("a TrainingJob is to read it", going);
    story.seen.referrers.clear();
    story.scene("its pod runs", going);
    story.seen.job = None;
    story.scene("its Job is gone, its pod still ends", going);
    story.seen.pods.clear();
    let cleans = story.scene("its pod is gone", going);
    let cleanup = job_of(&cleans);
    assert_eq!(cleanup.metadata.name.as_deref(), Some("sources-dataset-cleanup"));
    story.seen.cleanup = Some(with_status(&cleanup, json!({})));
    story.scene("its files are removed", going);
    story.seen.cleanup = Some(with_status(&cleanup, job_ended("Complete", "CompletionsReached")));
    let last = story.scene("nothing is left", going);
    assert_eq!(last.finalizer, Finalizer::Remove);
    insta::assert_snapshot!(story.text());
}

#[test]
fn files_that_cannot_be_removed_do_not_keep_a_dataset_for_ever() {
    let mut seen = nothing();
    seen.previous = Some(DatasetStatus {
        start_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0))),
        ..DatasetStatus::default()
    });
    seen.cleanup_refused = Some("namespace team is being terminated".to_owned());
    let owner = crate::cluster::owner::Owner { deleting_since: Some(at(0)), ..owner(Kind::Dataset, "sources") };
    let decision = decide(&dataset(), &owner, &seen, &settings());
    assert_eq!(decision.finalizer, Finalizer::Remove);
    assert!(decision.notes[0].is_warning && decision.notes[0].message.contains("stay on the volume"));
}

#[test]
fn the_job_of_an_earlier_dataset_of_that_name_is_waited_for() {
    let mut seen = nothing();
    let made = now(&seen);
    carry_out(&mut seen, &made);
    let again = |seen: &Observed<DatasetStatus>| {
        let owner = crate::cluster::owner::Owner { uid: "another".to_owned(), ..owner(Kind::Dataset, "sources") };
        decide(&dataset(), &owner, seen, &settings())
    };
    assert!(again(&seen).apply.is_empty());
    (seen.job, seen.config_map) = (None, None);
    assert_eq!(again(&seen).apply.len(), 2);
}
