//! What keeps a pod from running, told with its remedy.

use bedplate_crds::conditions::Reason;
use serde_json::json;

use super::{at, nothing, object, unschedulable, waiting};
use crate::cluster::{
    observed::{Observed, Warning},
    pods::{self, Sight},
};

/// Three minutes after noon, two pods are wanted.
fn sight(warnings: &[Warning]) -> Sight<'_> {
    Sight { wanted: 2, warnings, now: at(180) }
}

fn pod(status: serde_json::Value) -> k8s_openapi::api::core::v1::Pod {
    object(json!({ "metadata": { "name": "p" }, "status": status }))
}

fn warning(reason: &str, message: &str) -> Warning {
    let (kind, name) = ("Pod".to_owned(), "p".to_owned());
    Warning { kind, name, reason: reason.to_owned(), message: message.to_owned(), time: at(0) }
}

#[test]
fn each_cause_has_its_reason() {
    let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    for (status, reason) in [
        (unschedulable("0/3 nodes are available: 3 Insufficient cpu."), Reason::InsufficientResources),
        (unschedulable(unbound), Reason::StorageNotBound),
        (waiting("ErrImagePull", "no such host"), Reason::ImagePullFailed),
        (waiting("CreateContainerConfigError", "secret \"hub\" not found"), Reason::ReferenceNotFound),
        (waiting("RunContainerError", "exec format error"), Reason::PodsRefused),
    ] {
        let trouble = pods::trouble([&pod(status)], sight(&[])).unwrap();
        assert_eq!(trouble.reason, reason, "{}", trouble.message);
    }
    assert_eq!(pods::trouble([&pod(waiting("ContainerCreating", ""))], sight(&[])), None);
}

#[test]
fn what_only_an_event_says_is_heard() {
    let pod = pod(waiting("ContainerCreating", ""));
    for (warning, reason) in [
        (warning("FailedMount", "configmap \"x\" not found"), Reason::StorageNotBound),
        (warning("FailedCreate", "exceeded quota: small"), Reason::QuotaExceeded),
        (warning("FailedCreate", "error looking up service account team/x"), Reason::ReferenceNotFound),
        (warning("FailedCreate", "violates PodSecurity \"restricted\""), Reason::PodsRefused),
    ] {
        let trouble = pods::trouble([&pod], sight(&[warning])).unwrap();
        assert_eq!(trouble.reason, reason, "{}", trouble.message);
    }
    assert_eq!(pods::trouble([&pod], sight(&[warning("BackOff", "restarting")])), None);
    let refused = [warning("FailedCreate", "exceeded quota: small")];
    assert_eq!(pods::trouble([&pod, &pod], sight(&refused)), None, "both pods are there by now");
    let late = Sight { now: at(601), ..sight(&refused) };
    assert_eq!(pods::trouble([&pod], late), None, "nobody has said so for ten minutes");
}

#[test]
fn a_claim_that_is_being_deleted_is_as_good_as_missing() {
    let seen: Observed<()> = nothing();
    let wanted = ["bedplate-storage".to_owned()];
    assert_eq!(crate::cluster::gate::missing_claim(&wanted, &seen.claims, "team"), None);
    let mut claims = seen.claims;
    claims[0].metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let blocker = crate::cluster::gate::missing_claim(&wanted, &claims, "team").unwrap();
    assert_eq!(blocker.reason, Reason::StorageNotFound);
}
