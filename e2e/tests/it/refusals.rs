//! What the API server refuses, in words that name the field and the remedy, and what the operator says of references that lead nowhere.

use crate::{
    cluster::Cluster,
    recipe::{self, SHORT, Shape},
};

#[test]
fn a_field_that_cannot_be_is_refused_with_the_remedy() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-refused");
    let refused = |manifest: &str, words: &str| {
        let said = namespace.try_apply(manifest);
        assert!(!said.ok && said.err.contains(words), "wanted {words:?}: {said:?}");
    };
    let uneven = recipe::training("uneven", "text", Shape { nodes: 1, steps: SHORT, more: "" });
    refused(
        &uneven.replace("microBatchSize: 4", "microBatchSize: 3"),
        "make the global batch a multiple of the micro-batch",
    );
    refused(&uneven.replace("parallelism: {data: 1}", "parallelism: {data: 3}"), "use 1, 2, 4 or 8 processes");
    refused(&uneven.replace("maxSteps", "maxStepz"), "field not declared in schema");
    refused(&recipe::dataset("text").replace("utf8Repair", "utf9Repair"), "Unsupported value: \"utf9Repair\"");
}

#[test]
fn a_job_whose_dataset_is_missing_waits_and_says_for_what() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-dangling");
    namespace.apply(&recipe::training("alone", "nowhere", Shape { nodes: 1, steps: SHORT, more: "" }));
    let condition = "{.status.conditions[?(@.type==\"DatasetReady\")].message}";
    namespace.wait_value("trainingjob/alone", condition, |said| said.contains("nowhere"));
    assert_eq!(namespace.value("trainingjob/alone", "{.status.phase}"), "Pending");
    namespace.apply(&recipe::dataset("nowhere"));
    recipe::wait_phase(&namespace, "trainingjob/alone", "Complete");
}

#[test]
fn a_claim_that_is_missing_is_named_and_the_job_goes_on_once_it_is_there() {
    let _shared = Cluster::shared();
    let mut namespace = recipe::namespace("e2e-claimless");
    let elsewhere =
        recipe::dataset("text").replace("spec:\n", "spec:\n  storage: {persistentVolumeClaim: elsewhere}\n");
    namespace.apply(&elsewhere);
    let reason = "{.status.reason}";
    namespace.wait_value("dataset/text", reason, |reason| reason == "StorageNotFound");
    assert_eq!(namespace.value("jobs", "{.items[*].metadata.name}"), "", "no pod is made without its volume");
    namespace.claim("elsewhere");
    recipe::wait_phase(&namespace, "dataset/text", "Ready");
}
