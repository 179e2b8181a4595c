//! Which refusals of an event are worth a word in the log.

use kube::core::Status;
use serde_json::{Value, json};

use super::is_too_late;

fn refused(status: Value) -> kube::Error {
    kube::Error::Api(serde_json::from_value::<Status>(status).unwrap().boxed())
}

#[test]
fn a_namespace_that_goes_takes_no_event_and_that_is_no_failure() {
    let terminating = json!({
        "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "events.events.k8s.io \"a\" is forbidden: unable to create new content in namespace b because it is being terminated",
        "details": {"name": "a", "kind": "events", "causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
    });
    assert!(is_too_late(&refused(terminating)));
    let gone = json!({
        "status": "Failure", "reason": "NotFound", "code": 404, "message": "namespaces \"b\" not found",
        "details": {"name": "b", "kind": "namespaces"},
    });
    assert!(is_too_late(&refused(gone)));
}

#[test]
fn a_missing_right_is_a_failure() {
    let forbidden = json!({
        "status": "Failure", "reason": "Forbidden", "code": 403, "message": "events.events.k8s.io is forbidden",
        "details": {"kind": "events"},
    });
    assert!(!is_too_late(&refused(forbidden)));
}
