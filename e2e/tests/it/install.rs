//! Bedplate in the cluster, from its chart, once for all tests. Owns the release; never builds an image.

use std::{fs, path::Path, sync::OnceLock};

use crate::{
    cluster::{Cluster, say, wait_for},
    laptop,
    recipe::{self, LONG, SHORT, Shape, wait_checkpoint, wait_phase},
    serving,
};

/// Where the operator runs.
pub const SYSTEM: &str = "bedplate-system";
/// The operator's Deployment.
pub const OPERATOR: &str = "deployment/bedplate-operator";
/// Secret with the DSN of the Postgres beside the node.
const DATABASE: &str = "bedplate-database";

static INSTALLED: OnceLock<()> = OnceLock::new();

/// The cluster with Bedplate in it.
pub fn bedplate() -> Cluster {
    INSTALLED.get_or_init(install);
    Cluster::get()
}

/// `helm upgrade --install` with these settings more, with the Postgres beside the node, waiting until everything is ready.
pub fn helm(cluster: &Cluster, settings: &[&str]) {
    let database = format!("postgres.externalSecret.name={DATABASE}");
    release(cluster, &[&[database.as_str()], settings].concat());
}

/// The same with these settings and no other.
pub fn release(cluster: &Cluster, settings: &[&str]) {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bedplate");
    let mut command = cluster.command("helm");
    command.args(["upgrade", "--install", "bedplate"]).arg(chart);
    command.args(["--namespace", SYSTEM, "--wait", "--timeout", "5m"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let said = say(&mut command, "");
    if !said.ok {
        let pods = cluster.try_kubectl(&["--namespace", SYSTEM, "describe", "pods"]);
        let logs = cluster.try_kubectl(&["--namespace", SYSTEM, "logs", OPERATOR, "--tail=40"]);
        panic!("helm: {}\n{}\n{}\n{}", said.err, pods.out, logs.out, logs.err);
    }
}

/// `helm uninstall`; the release of the other tests comes back when this is dropped.
pub struct Away(Cluster);

impl Away {
    /// Takes the release away.
    pub fn new() -> Self {
        let away = Self(Cluster::get());
        uninstall(&away.0);
        away
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        helm(&self.0, &[]);
    }
}

/// Takes the release away, and waits until nothing of it runs.
pub fn uninstall(cluster: &Cluster) {
    let arguments = ["uninstall", "bedplate", "--namespace", SYSTEM, "--wait", "--timeout", "4m"];
    let said = say(cluster.command("helm").args(arguments), "");
    assert!(said.ok, "helm uninstall: {}", said.err);
    wait_for("nothing of the release runs", || {
        let what = ["--namespace", SYSTEM, "get", "pods,deployments,statefulsets,services", "--output=name"];
        let left = cluster.kubectl(&what);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

fn install() {
    let cluster = Cluster::get();
    let dsn = fs::read_to_string(cluster.folder().join("dsn")).expect("e2e/cluster/postgres.sh wrote the DSN");
    let manifest = format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {SYSTEM}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {DATABASE}, namespace: {SYSTEM}}}
stringData: {{DATABASE_URL: \"{}\"}}
",
        dsn.trim()
    );
    let said = cluster.try_kubectl_with(&["apply", "--server-side"], &manifest);
    assert!(said.ok, "the operator's namespace: {}", said.err);
    helm(&cluster, &[]);
}

#[test]
fn the_operator_may_do_what_it_does_and_nothing_else() {
    let _shared = Cluster::shared();
    let cluster = bedplate();
    let may = |verb: &str, what: &str| {
        let account = format!("--as=system:serviceaccount:{SYSTEM}:bedplate-operator");
        cluster.try_kubectl(&["auth", "can-i", verb, what, &account, "--namespace=default"]).out == "yes"
    };
    assert!(may("patch", "trainingjobs.bedplate.dev/status"));
    assert!(may("create", "jobs.batch"));
    assert!(!may("list", "secrets"), "it may list secrets");
    assert!(!may("get", "secrets"), "it may read secrets");
    assert!(!may("create", "pods"), "it may make pods");
    assert!(!may("*", "*"), "it may do everything");
}

#[test]
fn explain_tells_what_a_field_means() {
    let _shared = Cluster::shared();
    let said = bedplate().kubectl(&["explain", "trainingjob.spec.schedule.maxSteps"]);
    assert!(said.contains("KIND:       TrainingJob") && said.to_lowercase().contains("steps"), "{said}");
}

#[test]
fn what_runs_stays_when_the_release_goes_and_the_next_release_takes_it_over() {
    let _alone = Cluster::alone();
    let namespace = recipe::namespace("e2e-uninstalled");
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training("short", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    namespace.apply(&recipe::deployment("served", "short"));
    wait_phase(&namespace, "modeldeployment/served", "Ready");
    namespace.apply(&recipe::training("long", "text", Shape { nodes: 1, steps: LONG, more: "" }));
    wait_checkpoint(&namespace, "trainingjob/long", 20);
    let away = Away::new();
    let question = r#"{"model": "served", "prompt": "pub fn", "max_tokens": 4}"#;
    serving::ask(&namespace, "served", "v1/completions", question);
    namespace.wait_value("job/long-trainer", "{.status.succeeded}", |succeeded| succeeded == "1");
    drop(away);
    wait_phase(&namespace, "trainingjob/long", "Complete");
    assert_eq!(namespace.value("trainingjob/long", "{.status.checkpoint.digest}"), laptop::digests().long);
    namespace.kubectl(&["scale", "modeldeployment/served", "--replicas=2"]);
    namespace.wait_value("modeldeployment/served", "{.status.readyReplicas}", |ready| ready == "2");
}
