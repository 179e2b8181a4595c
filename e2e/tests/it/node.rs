//! The cluster itself does what Bedplate's tests rely on: names, volumes, limits, GPUs, the restricted level.

use std::{fs, os::unix::fs::MetadataExt};

use crate::{
    cluster::{Cluster, say, wait_for},
    namespace::Namespace,
};

/// The image of `e2e/tools/probe`.
const PROBE: &str = "localhost/bedplate-probe:e2e";
/// Every pod's part that the restricted level asks for.
const RESTRICTED: &str = "{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}";

/// A pod that runs the probe; `more` is further fields of its container, in flow style.
fn pod(name: &str, arguments: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  restartPolicy: Never
  securityContext: {RESTRICTED}
  volumes: [{{name: store, persistentVolumeClaim: {{claimName: store}}}}]
  containers:
    - {{name: probe, image: {PROBE}, args: {arguments}, {more}
       securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}}}
"
    )
}

#[test]
fn the_pods_of_an_indexed_job_find_each_other_by_name() {
    let _shared = Cluster::shared();
    let namespace = Namespace::new("e2e-names");
    namespace.apply(&format!(
        "apiVersion: v1
kind: Service
metadata: {{name: pair}}
spec: {{clusterIP: None, publishNotReadyAddresses: true, selector: {{batch.kubernetes.io/job-name: pair}}, ports: [{{port: 29400}}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: pair}}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  backoffLimit: 0
  template:
    spec:
      subdomain: pair
      restartPolicy: Never
      securityContext: {RESTRICTED}
      containers:
        - {{name: probe, image: {PROBE}, args: [names, pair-0.pair, pair-1.pair, kubernetes.default.svc],
           securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}}}
"
    ));
    namespace.wait_value("job/pair", "{.status.succeeded}", |succeeded| succeeded == "2");
    let logs = namespace.kubectl(&["logs", "job/pair"]);
    assert!(logs.contains("pair-1.pair: 10.244.0.") && logs.contains("kubernetes.default.svc: 10.96.0.1"), "{logs}");
}

#[test]
fn a_volume_keeps_what_a_pod_wrote_as_the_user_of_the_images() {
    let _shared = Cluster::shared();
    let mut namespace = Namespace::new("e2e-volume");
    let folder = namespace.claim("store");
    let mount = "volumeMounts: [{name: store, mountPath: /store}],";
    namespace.apply(&pod("writer", "[write, /store/word, kept]", mount));
    namespace.wait_value("pod/writer", "{.status.phase}", |phase| phase == "Succeeded");
    namespace.apply(&pod("reader", "[read, /store/word]", mount));
    namespace.wait_value("pod/reader", "{.status.phase}", |phase| phase == "Succeeded");
    assert_eq!(namespace.kubectl(&["logs", "reader"]), "/store/word: kept");
    assert_eq!(fs::metadata(folder.join("word")).unwrap().uid(), 65532);
}

#[test]
fn a_pod_that_is_not_restricted_is_refused() {
    let _shared = Cluster::shared();
    let namespace = Namespace::new("e2e-restricted");
    let said = namespace.try_kubectl(&["run", "free", "--image", PROBE]);
    assert!(!said.ok && said.err.contains("violates PodSecurity \"restricted:latest\""), "{said:?}");
}

#[test]
fn a_container_above_its_memory_limit_is_killed_for_it() {
    let _shared = Cluster::shared();
    let mut namespace = Namespace::new("e2e-memory");
    namespace.claim("store");
    namespace.apply(&pod("spender", "[spend]", "resources: {limits: {memory: 64Mi}},"));
    let state = "{.status.containerStatuses[0].state.terminated.reason}";
    namespace.wait_value("pod/spender", state, |reason| reason == "OOMKilled");
}

#[test]
fn gpus_are_given_out_until_there_are_no_more_and_fail_when_they_are_told_to() {
    let _alone = Cluster::alone();
    let mut namespace = Namespace::new("e2e-gpu");
    namespace.claim("store");
    let allocatable = |wanted: &str| {
        let path = "jsonpath={.status.allocatable.nvidia\\.com/gpu}";
        wait_for(&format!("{wanted} GPUs can be had"), || {
            let seen = namespace.cluster.kubectl(&["get", "node", "bplab", "--output", path]);
            if seen == wanted { Ok(()) } else { Err(seen) }
        });
    };
    allocatable("8");
    namespace.apply(&pod("small", "[hold]", "resources: {limits: {nvidia.com/gpu: 2}},"));
    namespace.wait_value("pod/small", "{.status.phase}", |phase| phase == "Running");
    namespace.apply(&pod("large", "[hold]", "resources: {limits: {nvidia.com/gpu: 8}},"));
    namespace.wait_value("pod/large", "{.status.conditions[0].message}", |said| {
        said.contains("Insufficient nvidia.com/gpu")
    });
    let control = namespace.cluster.folder().join("unhealthy-gpus");
    fs::write(&control, "6 7").unwrap();
    allocatable("6");
    fs::write(&control, "").unwrap();
    allocatable("8");
    // Kubelet forgets its plugins when it starts; they have to come again.
    namespace.cluster.component("stop", "kubelet");
    namespace.cluster.component("start", "kubelet");
    namespace.kubectl(&["delete", "pod", "large", "--now"]);
    namespace.apply(&pod("next", "[hold]", "resources: {limits: {nvidia.com/gpu: 6}},"));
    namespace.wait_value("pod/next", "{.status.phase}", |phase| phase == "Running");
}

#[test]
fn a_pod_reaches_a_server_of_this_machine() {
    let _shared = Cluster::shared();
    let mut namespace = Namespace::new("e2e-host");
    namespace.claim("store");
    let listener = std::net::TcpListener::bind("10.245.0.1:0").expect("the host's address in the cluster");
    let port = listener.local_addr().unwrap().port();
    namespace.apply(&pod("caller", &format!("[get, \"http://10.245.0.1:{port}/\"]"), ""));
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    namespace.wait_value("pod/caller", "{.status.phase}", |phase| phase == "Succeeded");
    assert!(namespace.kubectl(&["logs", "caller"]).contains("200 hello"));
    let said = say(namespace.cluster.command("kubectl").args(["version"]), "");
    assert!(said.out.contains("Server Version: v1.37"), "{said:?}");
}
