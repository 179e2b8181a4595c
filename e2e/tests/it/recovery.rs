//! Training pods die, are evicted, come in twos: the final checkpoint is that of an undisturbed run on a laptop.

use crate::{
    cluster::{Cluster, wait_for},
    history, laptop,
    namespace::Namespace,
    recipe::{self, LONG, SHORT, Shape, wait_checkpoint, wait_phase},
};

/// Digest of the newest checkpoint.
const DIGEST: &str = "{.status.checkpoint.digest}";
/// The pods of the job `long`.
const TRAINER: &str = "--selector=bedplate.dev/name=long,bedplate.dev/kind=TrainingJob";

/// A namespace with a Dataset that is ready and equal to the laptop's.
fn prepared(name: &str) -> Namespace {
    let namespace = recipe::namespace(name);
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    assert_eq!(namespace.value("dataset/text", "{.status.digest}"), laptop::digests().dataset);
    namespace
}

/// Name of the job's running pod.
fn running(namespace: &Namespace) -> String {
    let arguments = [
        "get",
        "pods",
        TRAINER,
        "--field-selector=status.phase=Running",
        "--output=jsonpath={.items[0].metadata.name}",
    ];
    wait_for("a trainer runs", || {
        let said = namespace.try_kubectl(&arguments);
        if said.ok && !said.out.is_empty() { Ok(said.out) } else { Err(said.err) }
    })
}

fn start(namespace: &Namespace, shape: Shape<'_>) {
    namespace.apply(&recipe::training("long", "text", shape));
    wait_checkpoint(namespace, "trainingjob/long", 40);
}

/// Each attempt took its steps without a gap, the second from the one after the first one's last checkpoint, up to the end.
fn goes_on_at_the_exact_step(namespace: &Namespace) {
    let uid = namespace.value("trainingjob/long", "{.metadata.uid}");
    let attempts = wait_for("the last step is in the history", || {
        let attempts = history::steps(&namespace.cluster, &uid);
        let is_whole = attempts.len() == 2 && attempts[1][1] == u64::from(LONG);
        if is_whole { Ok(attempts) } else { Err(format!("{attempts:?}")) }
    });
    for attempt in &attempts {
        assert_eq!(attempt[2], attempt[1] - attempt[0] + 1, "there is a gap: {attempts:?}");
    }
    assert_eq!(attempts[0][0], 1, "{attempts:?}");
    assert!(attempts[0][3] >= 40, "{attempts:?}");
    assert_eq!(attempts[1][0], attempts[0][3] + 1, "{attempts:?}");
}

fn ends_as_if_nothing_had_happened(namespace: &Namespace) {
    wait_phase(namespace, "trainingjob/long", "Complete");
    assert_eq!(namespace.value("trainingjob/long", "{.status.progress.step}"), LONG.to_string());
    assert_eq!(namespace.value("trainingjob/long", DIGEST), laptop::digests().long);
}

#[test]
fn a_killed_trainer_goes_on_from_its_checkpoint_and_ends_with_the_same_bytes() {
    let _shared = Cluster::shared();
    let namespace = prepared("e2e-killed");
    start(&namespace, Shape { nodes: 1, steps: LONG, more: "" });
    let uid = namespace.value(&format!("pod/{}", running(&namespace)), "{.metadata.uid}");
    namespace.cluster.kill_in_pod(&uid, "bedplate-trainer");
    namespace.wait_value("trainingjob/long", "{.status.restarts.infrastructure}", |restarts| restarts == "1");
    ends_as_if_nothing_had_happened(&namespace);
    let columns = namespace.kubectl(&["get", "trainingjob", "long"]);
    assert!(columns.contains("Complete") && columns.contains("0/1"), "{columns}");
    goes_on_at_the_exact_step(&namespace);
}

#[test]
fn an_evicted_trainer_writes_a_checkpoint_first_and_costs_no_restart() {
    let _shared = Cluster::shared();
    let namespace = prepared("e2e-evicted");
    start(&namespace, Shape { nodes: 1, steps: LONG, more: "" });
    let pod = running(&namespace);
    let before = namespace.value("trainingjob/long", "{.status.checkpoint.step}");
    namespace.evict(&pod);
    ends_as_if_nothing_had_happened(&namespace);
    assert_eq!(namespace.value("trainingjob/long", "{.status.restarts.user}"), "0", "after step {before}");
}

#[test]
fn two_processes_make_the_bytes_of_one() {
    let _shared = Cluster::shared();
    let namespace = prepared("e2e-pair");
    namespace.apply(&recipe::training("pair", "text", Shape { nodes: 2, steps: SHORT, more: "" }));
    namespace.apply(&recipe::training("single", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    for job in ["trainingjob/pair", "trainingjob/single"] {
        wait_phase(&namespace, job, "Complete");
        assert_eq!(namespace.value(job, DIGEST), laptop::digests().short, "{job}");
    }
}

#[test]
fn one_of_two_processes_is_killed_and_both_go_on() {
    let _shared = Cluster::shared();
    let namespace = prepared("e2e-pair-killed");
    start(&namespace, Shape { nodes: 2, steps: LONG, more: "" });
    let uid = namespace.value(&format!("pod/{}", running(&namespace)), "{.metadata.uid}");
    namespace.cluster.kill_in_pod(&uid, "bedplate-trainer");
    ends_as_if_nothing_had_happened(&namespace);
}

#[test]
fn a_drained_node_is_emptied_and_all_goes_on_when_it_may_be_used_again() {
    let _alone = Cluster::alone();
    let namespace = prepared("e2e-drained");
    namespace.apply(&recipe::training("short", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    namespace.apply(&recipe::deployment("served", "short"));
    wait_phase(&namespace, "modeldeployment/served", "Ready");
    start(&namespace, Shape { nodes: 1, steps: LONG, more: "" });
    let drain = ["drain", "bplab", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=240s"];
    namespace.cluster.kubectl(&drain);
    let running = ["get", "pods", "--all-namespaces", "--field-selector=status.phase=Running", "--output=name"];
    let left = namespace.cluster.kubectl(&running);
    namespace.cluster.kubectl(&["uncordon", "bplab"]);
    assert_eq!(left, "", "the node was not emptied");
    ends_as_if_nothing_had_happened(&namespace);
    assert_eq!(namespace.value("trainingjob/long", "{.status.restarts.user}"), "0");
    wait_phase(&namespace, "modeldeployment/served", "Ready");
}
