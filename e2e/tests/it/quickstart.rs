//! The quickstart's manifests, unchanged but for sizes: from text to a chat answer, and what is known of it afterwards.

use std::path::Path;

use crate::{
    cluster::{Cluster, wait_for},
    history::psql,
    namespace::Namespace,
    recipe::{self, wait_phase},
    serving::{QUESTION, ask},
};

/// The manifests of `e2e/overlay`.
fn overlay(namespace: &Namespace) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("overlay");
    let folder = folder.to_str().expect("a path in UTF-8");
    namespace.cluster.kubectl(&["kustomize", "--load-restrictor", "LoadRestrictionsNone", folder])
}

#[test]
fn text_becomes_a_model_that_answers_through_its_service() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-quickstart");
    recipe::chat_model(&namespace);
    let said = namespace.try_apply(&overlay(&namespace));
    assert!(said.ok, "{}", said.err);
    wait_phase(&namespace, "dataset/rust-sources", "Ready");
    let first: f64 = namespace
        .wait_value("trainingjob/rust-small", "{.status.metrics.loss}", |loss| !loss.is_empty())
        .parse()
        .unwrap();
    wait_phase(&namespace, "trainingjob/rust-small", "Complete");
    let job = |path: &str| namespace.value("trainingjob/rust-small", path);
    let last: f64 = job("{.status.metrics.loss}").parse().unwrap();
    assert!(last <= first && last < 6.0, "the loss went from {first} to {last}");
    assert_eq!(job("{.status.progress.step}"), "40");
    assert_eq!(job("{.status.datasetDigests[0]}"), namespace.value("dataset/rust-sources", "{.status.digest}"));
    wait_phase(&namespace, "modeldeployment/rust-small", "Ready");
    let answer = ask(
        &namespace,
        "rust-small",
        "v1/completions",
        r#"{"model": "rust-small", "prompt": "pub fn ", "max_tokens": 8}"#,
    );
    assert_eq!(answer["usage"]["completion_tokens"], 8, "{answer}");
    wait_phase(&namespace, "modeldeployment/smollm2", "Ready");
    let answer = ask(&namespace, "smollm2", "v1/chat/completions", QUESTION);
    assert!(answer.to_string().contains("Paris"), "{answer}");
    let columns = namespace.kubectl(&["get", "trainingjobs"]);
    assert!(columns.contains("Complete") && columns.contains("40/40"), "{columns}");
    let uid = job("{.metadata.uid}");
    let steps = format!(
        "select count(*), min(r.name), bool_and(a.digest = '{}') from bedplate.step_metrics m \
         join bedplate.attempts a on a.id = m.attempt_id join bedplate.runs r on r.id = a.run_id where r.origin = '{uid}'",
        job("{.status.checkpoint.digest}")
    );
    wait_for("every step is in the history", || {
        let seen = psql(&namespace.cluster, &steps);
        if seen == "40|rust-small|t" { Ok(()) } else { Err(seen) }
    });
    let lineage = format!(
        "select e.digest from bedplate.lineage_edges e join bedplate.attempts a on a.id = e.attempt_id \
         join bedplate.runs r on r.id = a.run_id where r.origin = '{uid}' and e.direction = 'input'"
    );
    assert_eq!(psql(&namespace.cluster, &lineage), job("{.status.datasetDigests[0]}"));
}
