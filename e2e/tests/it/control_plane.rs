//! The operator, the API server and Postgres go away while a job runs: the job does not notice, and nothing is lost.

use crate::{
    cluster::{Cluster, wait_for},
    history::psql,
    install::{OPERATOR, SYSTEM, bedplate, helm},
    laptop,
    namespace::Namespace,
    recipe::{self, LONG, Shape, wait_checkpoint, wait_phase},
};

/// Restarts of the job's one pod, and its name: the same before and after where nothing happened to it.
const POD: &str = "{.items[0].metadata.name} {.items[0].status.containerStatuses[0].restartCount}";

/// A job that is under way, and its pod.
fn under_way(name: &str) -> (Namespace, String) {
    let namespace = recipe::namespace(name);
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training("long", "text", Shape { nodes: 1, steps: LONG, more: "" }));
    wait_checkpoint(&namespace, "trainingjob/long", 20);
    let pod = pod(&namespace);
    (namespace, pod)
}

fn pod(namespace: &Namespace) -> String {
    let selector = "--selector=bedplate.dev/name=long,bedplate.dev/kind=TrainingJob";
    namespace.kubectl(&["get", "pods", selector, &format!("--output=jsonpath={POD}")])
}

/// The job ends as ever, in the pod it began in, and every step is in the history.
fn nothing_is_lost(namespace: &Namespace, name: &str, before: &str) {
    wait_phase(namespace, "trainingjob/long", "Complete");
    assert_eq!(pod(namespace), before, "the job was started again");
    assert_eq!(namespace.value("trainingjob/long", "{.status.checkpoint.digest}"), laptop::digests().long);
    let sql = format!(
        "select count(distinct step) from bedplate.step_metrics m join bedplate.attempts a on a.id = m.attempt_id \
         join bedplate.runs r on r.id = a.run_id where namespace = '{name}' and kind = 'TrainingJob'"
    );
    wait_for("every step is in the history", || {
        let steps = psql(&namespace.cluster, &sql);
        if steps == LONG.to_string() { Ok(()) } else { Err(steps) }
    });
}

fn operator_is_ready(cluster: &Cluster) {
    cluster.kubectl(&["--namespace", SYSTEM, "rollout", "status", OPERATOR, "--timeout=240s"]);
}

#[test]
fn the_operator_is_killed_in_the_middle_of_a_job() {
    let _alone = Cluster::alone();
    let (namespace, before) = under_way("e2e-operator-killed");
    let uid = namespace.cluster.kubectl(&[
        "--namespace",
        SYSTEM,
        "get",
        "pods",
        "--selector=app.kubernetes.io/name=bedplate-operator",
        "--output=jsonpath={.items[0].metadata.uid}",
    ]);
    namespace.cluster.kill_in_pod(&uid, "bedplate-operator");
    nothing_is_lost(&namespace, "e2e-operator-killed", &before);
    operator_is_ready(&namespace.cluster);
}

/// Who leads, by the name of its pod.
fn leader(cluster: &Cluster) -> String {
    let lease = ["get", "lease", "bedplate-operator", "--output=jsonpath={.spec.holderIdentity}"];
    cluster.kubectl(&[&["--namespace", SYSTEM][..], &lease].concat())
}

#[test]
fn the_leading_one_of_two_operators_goes_and_the_other_takes_over() {
    let _alone = Cluster::alone();
    let cluster = bedplate();
    helm(&cluster, &["operator.replicas=2"]);
    let (namespace, before) = under_way("e2e-two-operators");
    let first = leader(&cluster);
    // Without a word, as when its machine fails: the Lease is not given back.
    let pod = format!("pod/{first}");
    cluster.kubectl(&["--namespace", SYSTEM, "delete", &pod, "--force", "--grace-period=0"]);
    wait_for("another operator leads", || {
        let now = leader(&cluster);
        if now != first && !now.is_empty() { Ok(()) } else { Err(now) }
    });
    nothing_is_lost(&namespace, "e2e-two-operators", &before);
    helm(&cluster, &[]);
}

#[test]
fn the_operator_is_upgraded_in_the_middle_of_a_job() {
    let _alone = Cluster::alone();
    let (namespace, before) = under_way("e2e-upgraded");
    helm(&namespace.cluster, &["operator.logFilter=info\\,bedplate_operator=debug"]);
    nothing_is_lost(&namespace, "e2e-upgraded", &before);
}

#[test]
fn the_api_server_is_restarted_in_the_middle_of_a_job() {
    let _alone = Cluster::alone();
    let (namespace, before) = under_way("e2e-apiserver");
    namespace.cluster.component("kill", "kube-apiserver");
    namespace.cluster.component("start", "kube-apiserver");
    wait_for("the API server is back", || {
        let said = namespace.cluster.try_kubectl(&["get", "--raw", "/readyz"]);
        said.ok.then_some(()).ok_or(said.err)
    });
    nothing_is_lost(&namespace, "e2e-apiserver", &before);
}

#[test]
fn postgres_is_away_while_a_job_ends() {
    let _alone = Cluster::alone();
    let (namespace, before) = under_way("e2e-postgres");
    namespace.cluster.component("stop", "postgres");
    wait_phase(&namespace, "trainingjob/long", "Complete");
    namespace.cluster.component("start", "postgres");
    nothing_is_lost(&namespace, "e2e-postgres", &before);
}
