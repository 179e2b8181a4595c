//! The settings that the Helm chart writes are settings that the operator takes. They are read from the chart's snapshots, which
//! `charts/test.sh` compares with what helm renders.

use std::{fs, path::Path};

use bedplate_operator::config::OperatorConfig;

/// How the ConfigMap's entry begins in a rendered chart; its lines are four characters in.
const ENTRY: &str = "  operator.yaml: |\n";

fn settings(snapshot: &str) -> OperatorConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/tests/snapshots").join(snapshot);
    let rendered = fs::read_to_string(path).unwrap();
    let (_, entry) = rendered.split_once(ENTRY).unwrap();
    let lines = entry.lines().map_while(|line| line.strip_prefix("    "));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operator.yaml");
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    OperatorConfig::read(&file).unwrap()
}

#[test]
fn what_the_chart_writes_by_itself_is_taken() {
    let config = settings("default.yaml");
    assert_eq!(config.cluster.storage.claim, "bedplate-storage");
    assert_eq!(config.cluster.images.trainer, concat!("localhost/bedplate-trainer:", env!("CARGO_PKG_VERSION")));
    assert_eq!(config.leader_election.name, "bedplate-operator");
    assert!(config.progress.is_some() && config.watch_namespaces.is_empty());
}

#[test]
fn every_value_of_the_chart_arrives() {
    let config = settings("full.yaml");
    assert_eq!(config.workers, 8);
    assert_eq!(config.watch_namespaces, ["team-a", "team-b"]);
    assert_eq!(config.cluster.pod_defaults.trainer.requests["cpu"], "2");
    assert_eq!(config.cluster.images.pull_secrets, ["registry"]);
    assert_eq!(config.cluster.otlp_endpoint.as_deref(), Some("http://collector.monitoring.svc:4317"));
    assert_eq!(config.cluster.progress.unwrap().url, "https://progress.example.org:8443");
}
