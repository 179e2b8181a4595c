//! What keeps pods from running: an image, a quota, a volume. Each is told with its cause and its remedy, and mending it is enough.

use std::fs;

use crate::{
    cluster::{Cluster, say, wait_for},
    namespace::Namespace,
    recipe::{self, SHORT, Shape, wait_phase},
};

/// The image that Dataset pods run.
const IMAGE: &str = "{.items[0].spec.containers[0].image}";

/// Waits until the Dataset's condition and an event name this reason, with all of these words in their message.
fn is_told(namespace: &Namespace, reason: &str, words: &[&str]) {
    let has_all = |said: &str| words.iter().all(|word| said.contains(word));
    let condition = format!("{{.status.conditions[?(@.reason==\"{reason}\")].message}}");
    namespace.wait_value("dataset/text", &condition, has_all);
    namespace.wait_value("dataset/text", "{.status.reason}", |told| told == reason);
    let selector = format!("--field-selector=involvedObject.kind=Dataset,involvedObject.name=text,reason={reason}");
    wait_for(&format!("an event says {reason}"), || {
        let told = namespace.kubectl(&["get", "events", &selector, "--output=jsonpath={.items[*].message}"]);
        if has_all(&told) { Ok(()) } else { Err(told) }
    });
}

/// A name of an image that is away from the node until this is dropped.
struct Withheld {
    cluster: Cluster,
    image: String,
}

impl Withheld {
    /// The image stays on the node under another name, and its own name is unknown.
    fn new(image: String) -> Self {
        let withheld = Self { cluster: Cluster::get(), image };
        withheld.images(&["tag", "--force", &withheld.image, &withheld.other()]);
        withheld.images(&["rm", &withheld.image]);
        withheld
    }

    fn other(&self) -> String {
        self.image.replace("localhost/", "withheld.invalid/")
    }

    fn images(&self, arguments: &[&str]) {
        let socket = self.cluster.folder().join("containerd.sock");
        let mut ctr = self.cluster.command("ctr");
        ctr.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images"]);
        let said = say(ctr.args(arguments), "");
        assert!(said.ok, "ctr images {}: {}", arguments.join(" "), said.err);
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.images(&["tag", "--force", &self.other(), &self.image]);
        self.images(&["rm", &self.other()]);
    }
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_and_the_dataset_goes_on_once_it_is_there() {
    let _alone = Cluster::alone();
    let namespace = recipe::namespace("e2e-imageless");
    namespace.apply(&recipe::dataset("text").replace("name: text", "name: other"));
    wait_phase(&namespace, "dataset/other", "Ready");
    let pods = ["get", "pods", "--selector=bedplate.dev/name=other", &format!("--output=jsonpath={IMAGE}")];
    let withheld = Withheld::new(namespace.kubectl(&pods));
    namespace.apply(&recipe::dataset("text"));
    is_told(&namespace, "ImagePullFailed", &[&withheld.image, "load the image on the node"]);
    drop(withheld);
    wait_phase(&namespace, "dataset/text", "Ready");
}

#[test]
fn a_secret_that_is_missing_is_named_and_the_dataset_goes_on_once_it_is_made() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-secretless");
    let template = "spec:
  podTemplate:
    spec:
      containers: [{name: workload, env: [{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}]}]
";
    namespace.apply(&recipe::dataset("text").replace("spec:\n", template));
    is_told(&namespace, "ReferenceNotFound", &["secret \"hub\" not found", "make the Secret"]);
    namespace.kubectl(&["create", "secret", "generic", "hub", "--from-literal=token=t"]);
    wait_phase(&namespace, "dataset/text", "Ready");
}

#[test]
fn a_quota_that_is_used_up_is_named_and_the_dataset_goes_on_once_it_is_raised() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-quota");
    namespace.kubectl(&["create", "quota", "no-room", "--hard=pods=0"]);
    namespace.wait_value("quota/no-room", "{.status.hard.pods}", |pods| pods == "0");
    namespace.apply(&recipe::dataset("text"));
    is_told(&namespace, "QuotaExceeded", &["exceeded quota: no-room", "raise the ResourceQuota"]);
    namespace.kubectl(&[
        "patch",
        "quota",
        "no-room",
        "--type=merge",
        "--patch",
        r#"{"spec": {"hard": {"pods": "9"}}}"#,
    ]);
    wait_phase(&namespace, "dataset/text", "Ready");
}

#[test]
fn a_claim_that_cannot_bind_is_told_and_the_dataset_goes_on_once_it_has_a_volume() {
    let _shared = Cluster::shared();
    let mut namespace = recipe::namespace("e2e-unbound");
    namespace.apply(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: unbound}
spec:
  storageClassName: ''
  volumeName: e2e-unbound-unbound
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 10Gi}}
",
    );
    let elsewhere = recipe::dataset("text").replace("spec:\n", "spec:\n  storage: {persistentVolumeClaim: unbound}\n");
    namespace.apply(&elsewhere);
    is_told(&namespace, "StorageNotBound", &["unbound", "kubectl describe pvc"]);
    namespace.claim("unbound");
    wait_phase(&namespace, "dataset/text", "Ready");
}

#[test]
fn a_dataset_that_fails_says_why_to_its_job_too_and_both_go_on_once_its_spec_is_mended() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-failed-dataset");
    let broken = namespace.volume("bedplate-inputs").join("corpus/broken.md");
    let text = [b"a text that is long enough to be kept, ".repeat(8), vec![0xff], b" and its end".to_vec()].concat();
    fs::write(broken, text).unwrap();
    namespace.apply(&recipe::dataset("text").replace("{type: utf8Repair}, ", ""));
    namespace.apply(&recipe::training("waits", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    wait_phase(&namespace, "dataset/text", "Failed");
    let words = ["broken.md is not valid UTF-8 at byte 312", "put {type: utf8Repair} first in spec.pipeline"];
    is_told(&namespace, "InvalidConfig", &words);
    let waits = "{.status.conditions[?(@.type==\"DatasetReady\")].message}";
    namespace.wait_value("trainingjob/waits", waits, |said| said.contains("text") && said.contains("failed"));
    assert_eq!(namespace.value("trainingjob/waits", "{.status.phase}"), "Pending");
    namespace.apply(&recipe::dataset("text"));
    namespace.wait_value("dataset/text", "{.status.phase}", |phase| phase == "Ready");
    wait_phase(&namespace, "trainingjob/waits", "Complete");
}
