//! Cut off after any write, an operator leaves a state that the next one brings to the same end.

use std::collections::{BTreeMap, BTreeSet};

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Service},
};
use kube::api::ListParams;
use serde_json::Value;

use crate::cluster::{Cluster, Wire, eventually};

/// More writes than the beginning of the three resources takes; the last rounds are not cut at all.
const MOST_WRITES: i64 = 24;

/// What is there, without what differs between two namespaces.
#[derive(Debug, PartialEq)]
struct State {
    names: Vec<String>,
    reasons: Vec<Value>,
    /// Reasons alone: what a message says of another resource depends on how far that one was when it was looked at.
    events: BTreeMap<&'static str, BTreeSet<String>>,
    job_files: Vec<Value>,
}

async fn state(cluster: &Cluster) -> State {
    let mut names = cluster.names::<Job>().await;
    names.extend(cluster.names::<ConfigMap>().await.into_iter().filter(|name| name != "kube-root-ca.crt"));
    names.extend(cluster.names::<Service>().await);
    let reasons = vec![
        cluster.status::<Dataset>("texts").await["reason"].clone(),
        cluster.status::<TrainingJob>("model").await["reason"].clone(),
        cluster.status::<ModelDeployment>("chat").await["reason"].clone(),
    ];
    let mut events = BTreeMap::new();
    for name in ["texts", "model", "chat"] {
        events.insert(name, cluster.events(name).await.into_iter().collect());
    }
    let configs = cluster.api::<ConfigMap>().list(&ListParams::default()).await.unwrap();
    let files = configs.into_iter().filter_map(|config| config.data?.remove("job.json"));
    let job_files = files.map(|file| without_uid(&file.replace(&cluster.namespace, "NAMESPACE"))).collect();
    State { names, reasons, events, job_files }
}

/// The job file without its trace and reporter, which carry the uid of the resource.
fn without_uid(file: &str) -> Value {
    let mut file: Value = serde_json::from_str(file).unwrap();
    file["metadata"].as_object_mut().unwrap().remove("traceparent");
    if let Some(reporting) = file.get_mut("reporting").and_then(Value::as_object_mut) {
        reporting.remove("uid");
    }
    file
}

/// Waits until nothing that counts changes any more and every resource has its reason.
async fn settled(cluster: &Cluster) -> State {
    cluster.appears::<Job>("texts-dataset").await;
    cluster.reason::<Dataset>("texts", "PodsStarting").await;
    cluster.reason::<TrainingJob>("model", "WaitingForDataset").await;
    cluster.reason::<ModelDeployment>("chat", "WaitingForModel").await;
    state(cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_after_any_write_the_next_operator_comes_to_the_same_end() {
    let Some(undisturbed) = Cluster::start().await else { return };
    undisturbed.make_claims().await;
    undisturbed.make_chain().await;
    let wire = Wire::default();
    let _operator = undisturbed.operator_through("one", &wire).await;
    settled(&undisturbed).await;
    let mut was_cut = 0;
    for writes in 1..=MOST_WRITES {
        let cluster = Cluster::start().await.unwrap();
        cluster.make_claims().await;
        cluster.make_chain().await;
        let wire = Wire::cut_after(writes);
        let cut = cluster.operator_through("one", &wire).await;
        let over = async || {
            let is_settled = state(&cluster).await == state(&undisturbed).await;
            if wire.is_cut() || is_settled { Ok(()) } else { Err(format!("{} writes", wire.writes())) }
        };
        eventually("it is cut or has come to its end", over).await;
        was_cut += i64::from(wire.is_cut());
        drop(cut);
        let _next = cluster.operator("one").await;
        let same = async || {
            let (found, wanted) = (state(&cluster).await, state(&undisturbed).await);
            if found == wanted { Ok(()) } else { Err(format!("{found:#?}\nwanted: {wanted:#?}")) }
        };
        eventually(&format!("cut after {writes} writes, it comes to the same end"), same).await;
    }
    assert!(was_cut >= 10, "only {was_cut} of {MOST_WRITES} rounds were cut");
}
