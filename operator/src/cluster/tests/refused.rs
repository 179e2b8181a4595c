//! A child that the API server refuses: told in the status, tried again, and told no more once it is there.

use bedplate_crds::{
    conditions::Reason,
    dataset::status::{DatasetPhase, DatasetStatus},
    model_deployment::status::{ModelDeploymentPhase, ModelDeploymentStatus},
};
use serde_json::json;

use super::{dataset, model_deployment, nothing, object, owner, settings, with_status};
use crate::{
    cluster::{
        child::{Child, ChildKind},
        decision::Decision,
        gate::Blocker,
        observed::{ChildRefused, Observed},
    },
    resource::Kind,
};

/// What the API server says.
const SAID: &str = "Job.batch \"x\" is invalid: spec.template.spec.tolerations[0].operator: Invalid value";

fn refused(kind: ChildKind, name: &str) -> Option<ChildRefused> {
    let cause = Blocker { reason: Reason::PodsRefused, message: SAID.to_owned() };
    Some(ChildRefused { kind, name: name.to_owned(), cause })
}

fn decide_dataset(seen: &Observed<DatasetStatus>) -> Decision<DatasetStatus> {
    crate::cluster::dataset::decide(&dataset(), &owner(Kind::Dataset, "sources"), seen, &settings())
}

fn decide_model(seen: &Observed<ModelDeploymentStatus>) -> Decision<ModelDeploymentStatus> {
    let mut resource = model_deployment();
    resource.spec.model = bedplate_crds::model_deployment::ServedModel::Uri { uri: "file:model.gguf".to_owned() };
    crate::cluster::model_deployment::decide(&resource, &owner(Kind::ModelDeployment, "chat"), seen, &settings())
}

fn message(of: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition], name: &str) -> (String, String) {
    let found = of.iter().find(|condition| condition.type_ == name).unwrap();
    (found.status.clone(), found.message.clone())
}

#[test]
fn a_refused_job_is_told_and_tried_again_until_it_is_there() {
    let mut seen = nothing();
    let first = decide_dataset(&seen);
    assert_eq!(first.status.reason, Some(Reason::PodsStarting));
    let job = first.apply.iter().find_map(|child| match child {
        Child::Job(job) => Some((**job).clone()),
        _ => None,
    });
    let job = job.unwrap();
    seen.previous = Some(first.status.clone());
    seen.child_refused = refused(ChildKind::Job, "sources-dataset");
    let told = decide_dataset(&seen);
    assert_eq!((told.status.phase, told.status.reason), (Some(DatasetPhase::Pending), Some(Reason::PodsRefused)));
    assert_eq!(message(&told.status.conditions, "Admitted"), ("False".to_owned(), SAID.to_owned()));
    assert_eq!(told.apply, first.apply, "it is tried again");
    assert_eq!(told.notes.iter().filter(|note| note.reason == Reason::PodsRefused).count(), 1);

    seen.previous = Some(told.status);
    assert_eq!(decide_dataset(&seen).notes, [], "the same is news once");
    seen.job = Some(with_status(&job, json!({})));
    seen.child_refused = None;
    let mended = decide_dataset(&seen).status;
    assert_eq!(message(&mended.conditions, "Admitted").0, "True");
    assert_eq!(mended.reason, Some(Reason::PodsStarting));
}

#[test]
fn what_was_refused_and_is_no_longer_wanted_is_not_told() {
    let mut seen = nothing();
    seen.child_refused = refused(ChildKind::Service, "sources-dataset");
    assert_eq!(decide_dataset(&seen).status.reason, Some(Reason::PodsStarting));
}

#[test]
fn a_model_whose_first_or_newest_revision_is_refused_says_so() {
    let mut seen = nothing();
    let first = decide_model(&seen);
    seen.child_refused = refused(ChildKind::Deployment, "chat-inference");
    let told = decide_model(&seen);
    assert_eq!(
        (told.status.phase, told.status.reason),
        (Some(ModelDeploymentPhase::Pending), Some(Reason::PodsRefused))
    );
    assert_eq!(message(&told.status.conditions, "Progressing"), ("False".to_owned(), SAID.to_owned()));
    assert_eq!(told.apply, first.apply);

    // An earlier revision serves on.
    seen.deployment = Some(object(json!({
        "metadata": { "name": "chat-inference", "generation": 1 },
        "spec": { "replicas": 2, "selector": {}, "template": {} },
        "status": { "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 },
    })));
    let status = decide_model(&seen).status;
    assert_eq!(message(&status.conditions, "Available").0, "True");
    assert_eq!(message(&status.conditions, "Progressing"), ("False".to_owned(), SAID.to_owned()));
    assert_eq!(status.reason, Some(Reason::PodsRefused));
}
