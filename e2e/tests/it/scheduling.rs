//! GPUs that exist only on paper: a job that asks for them gets them, one that asks for too many is told what is missing.

use crate::{
    cluster::{Cluster, wait_for},
    recipe::{self, SHORT, Shape, wait_phase},
};

/// A job of so many processes, each of which asks for so many GPUs.
fn asking(name: &str, nodes: u32, gpus: u32) -> String {
    let job = recipe::training(name, "text", Shape { nodes, steps: SHORT, more: "" });
    let workers = format!("numNodes: {nodes}");
    job.replace(&workers, &format!("{workers}, resourcesPerNode: {{nvidia.com/gpu: '{gpus}'}}"))
}

#[test]
fn a_job_gets_the_gpus_it_asks_for_and_is_told_when_there_are_too_few() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-gpus");
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    namespace.apply(&asking("modest", 1, 2));
    wait_phase(&namespace, "trainingjob/modest", "Complete");
    namespace.apply(&asking("greedy", 1, 9));
    let condition = "{.status.conditions[?(@.type==\"PodsReady\")].message}";
    namespace.wait_value("trainingjob/greedy", condition, |said| said.contains("nvidia.com/gpu"));
    assert_eq!(namespace.value("trainingjob/greedy", "{.status.reason}"), "InsufficientResources");
}

#[test]
fn processes_that_do_not_all_fit_hold_nothing_and_all_start_together_once_they_do() {
    if std::env::var("BEDPLATE_GANG").is_ok_and(|gang| gang == "0") {
        println!("this cluster has no PodGroups");
        return;
    }
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-gang");
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    namespace.apply(&asking("wide", 2, 5));
    namespace.wait_value("trainingjob/wide", "{.status.reason}", |reason| reason == "InsufficientResources");
    let nodes = ["get", "pods", "--selector=bedplate.dev/name=wide", "--output=jsonpath={.items[*].spec.nodeName}"];
    assert_eq!(namespace.kubectl(&nodes), "", "one of two has a node, and waits on it for the other");
    let gangs = || namespace.kubectl(&["get", "podgroups.scheduling.k8s.io", "--output=name"]);
    assert!(gangs().contains("wide"), "{}", gangs());
    namespace.kubectl(&["delete", "trainingjob", "wide"]);
    wait_for("the gang is gone as well", || if gangs().is_empty() { Ok(()) } else { Err(gangs()) });
    namespace.apply(&asking("wide", 2, 3));
    wait_phase(&namespace, "trainingjob/wide", "Complete");
}
