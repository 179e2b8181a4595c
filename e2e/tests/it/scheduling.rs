//! GPUs that exist only on paper: a job that asks for them gets them, one that asks for too many is told what is missing.

use crate::{
    cluster::Cluster,
    recipe::{self, SHORT, Shape, wait_phase},
};

fn asking(name: &str, gpus: u32) -> String {
    let job = recipe::training(name, "text", Shape { nodes: 1, steps: SHORT, more: "" });
    job.replace("numNodes: 1", &format!("numNodes: 1, resourcesPerNode: {{nvidia.com/gpu: '{gpus}'}}"))
}

#[test]
fn a_job_gets_the_gpus_it_asks_for_and_is_told_when_there_are_too_few() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-gpus");
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    namespace.apply(&asking("modest", 2));
    wait_phase(&namespace, "trainingjob/modest", "Complete");
    namespace.apply(&asking("greedy", 9));
    let condition = "{.status.conditions[?(@.type==\"PodsReady\")].message}";
    namespace.wait_value("trainingjob/greedy", condition, |said| said.contains("nvidia.com/gpu"));
    assert_eq!(namespace.value("trainingjob/greedy", "{.status.reason}"), "InsufficientResources");
}
