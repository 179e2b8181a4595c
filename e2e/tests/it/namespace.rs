//! A namespace of one test: restricted, with volumes of its own; on failure it tells what is in it. Owns what is made in it.

use std::{fs, path::PathBuf, thread};

use crate::cluster::{Cluster, Said, say, wait_for};

/// What is shown of a namespace whose test failed: objects, what they say of themselves, what was said about them.
const SHOWN: [&[&str]; 4] = [
    &["get", "bedplate,jobs,pods,services,deployments,persistentvolumeclaims", "--output=wide"],
    &["describe", "bedplate"],
    &["get", "events", "--sort-by=.lastTimestamp"],
    &[
        "logs",
        "--selector=app.kubernetes.io/managed-by=bedplate",
        "--tail=25",
        "--prefix",
        "--ignore-errors",
        "--all-containers",
    ],
];

/// A namespace that is gone after the test.
pub struct Namespace {
    /// The cluster it is in.
    pub cluster: Cluster,
    name: String,
    claims: Vec<String>,
}

impl Namespace {
    /// Makes it, with the restricted PodSecurity level enforced.
    pub fn new(name: &str) -> Self {
        let namespace = Self { cluster: Cluster::get(), name: name.to_owned(), claims: Vec::new() };
        namespace.cluster.try_kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait"]);
        namespace.cluster.kubectl(&["create", "namespace", name]);
        namespace.cluster.kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]);
        wait_for("the namespace has its service account", || {
            let said = namespace.try_kubectl(&["get", "serviceaccount", "default"]);
            said.ok.then_some(()).ok_or(said.err)
        });
        namespace
    }

    /// Makes a claim that is bound to an empty folder, and returns the folder.
    pub fn claim(&mut self, claim: &str) -> PathBuf {
        let folder = self.cluster.folder().to_owned();
        let volume = self.volume(claim);
        if volume.exists() {
            fs::remove_dir_all(&volume).expect("what an earlier run left on the volume can be removed");
        }
        let said = say(self.cluster.command("volume.sh").arg(&folder).args([&self.name, claim]), "");
        assert!(said.ok, "volume.sh: {}", said.err);
        self.claims.push(claim.to_owned());
        volume
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that is a claim's volume.
    pub fn volume(&self, claim: &str) -> PathBuf {
        self.cluster.folder().join("volumes").join(&self.name).join(claim)
    }

    /// `kubectl --namespace NAME ARGUMENTS`, whatever comes of it.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Said {
        self.cluster.try_kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// The same, which must succeed; its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// `kubectl apply` of a manifest, whatever comes of it.
    pub fn try_apply(&self, manifest: &str) -> Said {
        self.cluster.try_kubectl_with(&["--namespace", &self.name, "apply", "--server-side"], manifest)
    }

    /// The same, which must succeed.
    pub fn apply(&self, manifest: &str) {
        let said = self.try_apply(manifest);
        assert!(said.ok, "kubectl apply: {}\n{manifest}", said.err);
    }

    /// One value of an object, by JSONPath; empty where there is no object or no value.
    pub fn value(&self, object: &str, path: &str) -> String {
        self.try_kubectl(&["get", object, "--output", &format!("jsonpath={path}")]).out
    }

    /// Waits until a value of an object is as wanted, and returns it.
    pub fn wait_value(&self, object: &str, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_for(&format!("{object} has the {path} wanted"), || {
            let value = self.value(object, path);
            if wanted(&value) { Ok(value) } else { Err(format!("{value:?}")) }
        })
    }

    /// Evicts a pod, as draining its node would.
    pub fn evict(&self, pod: &str) {
        let eviction =
            format!("{{\"apiVersion\": \"policy/v1\", \"kind\": \"Eviction\", \"metadata\": {{\"name\": \"{pod}\"}}}}");
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.name);
        let said = self.cluster.try_kubectl_with(&["create", "--raw", &path], &eviction);
        assert!(said.ok, "eviction of {pod}: {}", said.err);
    }

    fn show(&self) {
        for arguments in SHOWN {
            let said = self.try_kubectl(arguments);
            println!("--- kubectl {}\n{}\n{}", arguments.join(" "), said.out, said.err);
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        self.cluster.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        for claim in &self.claims {
            let volume = format!("{}-{claim}", self.name);
            self.cluster.try_kubectl(&["delete", "persistentvolume", &volume, "--wait=false", "--ignore-not-found"]);
        }
    }
}
