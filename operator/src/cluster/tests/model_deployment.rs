//! The life of a ModelDeployment.

use bedplate_crds::model_deployment::status::{ModelDeploymentPhase, ModelDeploymentStatus};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::{Value, json};

use super::{
    at, children::training_job_dependency, claim, container, ended, last_words, model_deployment, nothing, object,
    owner, running, settings, story::Story, waiting,
};
use crate::{
    cluster::{
        child::Child,
        decision::{Decision, Finalizer},
        model_deployment::decide,
        observed::{Dependency, Observed},
        owner::Owner,
    },
    resource::Kind,
};

fn now(seen: &Observed<ModelDeploymentStatus>) -> Decision<ModelDeploymentStatus> {
    decide(&model_deployment(), &owner(Kind::ModelDeployment, "chat"), seen, &settings())
}

/// The Deployment of a decision, with what its controller says of it.
fn deployment(decision: &Decision<ModelDeploymentStatus>, status: Value) -> Deployment {
    let found = decision.apply.iter().find_map(|child| match child {
        Child::Deployment(deployment) => Some((**deployment).clone()),
        _ => None,
    });
    Deployment { status: Some(object(status)), ..found.unwrap() }
}

fn pod(name: &str, status: Value) -> Pod {
    object(json!({ "metadata": { "name": name }, "status": status }))
}

fn crashing(words: &str) -> Value {
    let mut status = ended(11, words);
    let end = status["containerStatuses"][0]["state"].clone();
    let mut of = container(json!({ "waiting": { "reason": "CrashLoopBackOff" } }));
    of["lastState"] = end;
    (status["phase"], status["containerStatuses"]) = (json!("Running"), json!([of]));
    status
}

fn ready() -> Observed<ModelDeploymentStatus> {
    let mut seen = nothing();
    seen.claims = vec![claim("runs")];
    seen.dependencies = vec![training_job_dependency()];
    seen
}

#[test]
fn the_life_of_a_model_deployment() {
    let mut story = Story::new(ready());
    let Dependency::TrainingJob(mut unfinished) = training_job_dependency() else { unreachable!() };
    unfinished.status.as_mut().unwrap().phase = Some(bedplate_crds::training_job::status::TrainingJobPhase::Running);
    story.seen.dependencies = vec![Dependency::TrainingJob(unfinished)];
    story.scene("its model is not trained", now);
    story.seen.dependencies = vec![training_job_dependency()];
    let made = story.scene("its model is trained", now);
    story.seen.deployment = Some(deployment(&made, json!({ "replicas": 2, "updatedReplicas": 2 })));
    story.seen.pods =
        vec![pod("chat-a", waiting("ErrImageNeverPull", "image is not present")), pod("chat-b", running())];
    story.scene("its image is not on the node", now);
    story.seen.pods = vec![pod("chat-a", running()), pod("chat-b", running())];
    let one = json!({ "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1 });
    story.seen.deployment = Some(deployment(&made, one.clone()));
    story.scene("one pod answers", now);
    let both = json!({ "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 });
    story.seen.deployment = Some(deployment(&made, both.clone()));
    story.scene("both answer", now);
    let renamed = |seen: &Observed<ModelDeploymentStatus>| {
        let mut resource = model_deployment();
        resource.spec.served_model_name = Some("tiny-v2".to_owned());
        decide(&resource, &owner(Kind::ModelDeployment, "chat"), seen, &settings())
    };
    let rolls = story.scene("a new revision is wanted", renamed);
    let rolling = json!({ "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2 });
    story.seen.deployment = Some(deployment(&rolls, rolling));
    story.seen.pods.push(pod("chat-c", crashing(&last_words(11, "engine.maxModelLen is more than the model's"))));
    story.scene("its first pod does not start", renamed);
    story.seen.pods.truncate(2);
    story.seen.deployment = Some(deployment(&rolls, both));
    story.scene("it is rolled out", renamed);
    story.seen.deployment = Some(deployment(&rolls, one));
    story.scene("a pod was lost", renamed);
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_model_that_cannot_be_served_says_why() {
    let mut story = Story::new(ready());
    let made = story.scene("new", now);
    story.seen.deployment = Some(deployment(&made, json!({ "replicas": 2, "updatedReplicas": 2 })));
    story.seen.pods = vec![pod("chat-a", crashing(&last_words(11, "there is no model in /x")))];
    let status = story.scene("its pods crash", now).status;
    assert_eq!(status.phase, Some(ModelDeploymentPhase::Failed));
    insta::assert_snapshot!(story.text());
}

#[test]
fn refused_pods_are_told_by_the_deployment_itself() {
    let mut story = Story::new(ready());
    let made = story.scene("new", now);
    let refused = json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"chat-a\" is forbidden: exceeded quota: small" });
    story.seen.deployment = Some(deployment(&made, json!({ "conditions": [refused] })));
    let status = story.scene("refused", now).status;
    assert_eq!(status.reason.unwrap().to_string(), "QuotaExceeded");
}

#[test]
fn scaling_to_none_and_back_is_no_failure() {
    let mut story = Story::new(ready());
    let scaled = |seen: &Observed<ModelDeploymentStatus>| {
        let mut resource = model_deployment();
        resource.spec.replicas = 0;
        decide(&resource, &owner(Kind::ModelDeployment, "chat"), seen, &settings())
    };
    let made = story.scene("to none", scaled);
    story.seen.deployment = Some(deployment(&made, json!({})));
    story.scene("none is left", scaled);
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_model_deployment_goes_when_its_pods_have_answered() {
    let mut story = Story::new(ready());
    let made = story.scene("new", now);
    let going = |seen: &Observed<ModelDeploymentStatus>| {
        let owner = Owner { deleting_since: Some(at(20)), ..owner(Kind::ModelDeployment, "chat") };
        decide(&model_deployment(), &owner, seen, &settings())
    };
    story.seen.deployment = Some(deployment(&made, json!({ "replicas": 1 })));
    story.seen.pods = vec![pod("chat-a", running())];
    let stops = story.scene("its pods are stopped", going);
    assert_eq!((stops.finalizer, stops.delete.len()), (Finalizer::Keep, 1));
    story.seen.deployment = None;
    assert_eq!(story.scene("one still answers", going).finalizer, Finalizer::Keep);
    story.seen.pods.clear();
    assert_eq!(story.scene("none is left", going).finalizer, Finalizer::Remove);
}

#[test]
fn another_trace_is_told_to_the_next_pod_and_replaces_none() {
    let of_trace = |traceparent: &str| {
        let owner = Owner { traceparent: Some(traceparent.to_owned()), ..owner(Kind::ModelDeployment, "chat") };
        decide(&model_deployment(), &owner, &ready(), &settings()).apply
    };
    let (one, other) = (of_trace("00-1-1-01"), of_trace("00-2-2-01"));
    let differ: Vec<&Child> = one.iter().filter(|child| !other.contains(child)).collect();
    assert!(matches!(differ[..], [Child::ConfigMap(_)]), "{differ:?}");
}
