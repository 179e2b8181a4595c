//! Every query of the chart's Grafana dashboards, asked of a real Prometheus while pods train and answer. Owns none of the queries.

use std::{path::Path, process::Command};

use crate::{
    cluster::{Cluster, say},
    install::{OPERATOR, SYSTEM},
    namespace::Namespace,
    recipe::{self, Shape, wait_checkpoint, wait_phase},
    serving,
};

/// More than the queries take: a rate has data only while something changes.
const ENDLESS: u32 = 100_000;

fn address(cluster: &Cluster, namespace: &str, service: &str) -> String {
    let object = format!("service/{service}");
    cluster.kubectl(&["--namespace", namespace, "get", &object, "--output=jsonpath={.spec.clusterIP}"])
}

/// A job that trains for as long as the test looks, beside the chat model.
fn busy(name: &str) -> Namespace {
    let namespace = serving::chat(name);
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    namespace.apply(&recipe::training("endless", "text", Shape { nodes: 1, steps: ENDLESS, more: "" }));
    wait_checkpoint(&namespace, "trainingjob/endless", 20);
    namespace
}

#[test]
fn every_query_of_the_dashboards_has_data_while_pods_train_and_answer() {
    let _shared = Cluster::shared();
    let namespace = busy("e2e-dashboards");
    let operator = address(&namespace.cluster, SYSTEM, "bedplate-operator") + ":8080";
    let inference = address(&namespace.cluster, "e2e-dashboards", "smollm2") + ":80";
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards.sh");
    let said = say(Command::new(script).args([&operator, &inference]), "");
    println!("{}", said.out);
    assert!(said.ok, "{}\n{}", said.out, said.err);
    let log = namespace.cluster.kubectl(&["--namespace", SYSTEM, "logs", OPERATOR, "--tail=-1"]);
    let forbidden = |line: &&str| line.contains("e2e-dashboards") && line.to_lowercase().contains("forbidden");
    let forbidden: Vec<&str> = log.lines().filter(forbidden).collect();
    assert!(forbidden.is_empty(), "the operator wants more than the chart allows: {forbidden:?}");
}
