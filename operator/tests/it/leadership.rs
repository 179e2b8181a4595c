//! Several operators at once, and operators that end in every way.

use bedplate_crds::dataset::Dataset;
use k8s_openapi::api::{batch::v1::Job, coordination::v1::Lease, core::v1::ConfigMap};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, dataset, eventually, from_json};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_acts_and_hands_over_when_it_is_asked_to_stop() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let first = cluster.operator("one").await;
    first.leads().await;
    let second = cluster.operator("two").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    let job: Job = cluster.appears("texts-dataset").await;
    assert_eq!(second.metric("bedplate_leader").await, 0.0);
    assert_eq!(second.metric("bedplate_reconcile_total").await, 0.0);

    first.stop().await;
    let lease = cluster.api::<Lease>().get("bedplate-operator").await.unwrap().spec.unwrap();
    assert_ne!(lease.holder_identity.as_deref(), Some("one"), "the first has given the lease back");
    second.leads().await;
    let lease = cluster.api::<Lease>().get("bedplate-operator").await.unwrap().spec.unwrap();
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_transitions), (Some("two"), Some(1)));
    cluster.start_job("texts-dataset").await;
    cluster.reason::<Dataset>("texts", "Running").await;
    let same = cluster.api::<Job>().get("texts-dataset").await.unwrap();
    assert_eq!(same.metadata.uid, job.metadata.uid, "the second has not made the Job again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_another_one_has_followed_stops_at_once() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let operator = cluster.operator("one").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    cluster.appears::<ConfigMap>("texts-dataset").await;
    let later = json!({"metadata": {"annotations": {"bedplate.dev/operator-epoch": "7"}}});
    let configs = cluster.api::<ConfigMap>();
    configs.patch("texts-dataset", &PatchParams::default(), &Patch::Merge(&later)).await.unwrap();
    operator.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_operator_goes_on_where_it_was_without_making_anything_twice() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let folder = tempfile::tempdir().unwrap();
    cluster.make_chain().await;
    let killed = cluster.operator_process(folder.path(), "one");
    let job: Job = cluster.appears("texts-dataset").await;
    drop(killed);

    cluster.start_job("texts-dataset").await;
    let again = cluster.operator_process(folder.path(), "one");
    again.leads().await;
    cluster.reason::<Dataset>("texts", "Running").await;
    assert_eq!(cluster.names::<Job>().await, ["texts-dataset"]);
    let same = cluster.api::<Job>().get("texts-dataset").await.unwrap();
    assert_eq!(same.metadata.uid, job.metadata.uid);

    assert!(again.terminate().success(), "SIGTERM is an orderly end");
    let released = async || {
        let lease = cluster.api::<Lease>().get("bedplate-operator").await.unwrap().spec.unwrap();
        lease.holder_identity.map_or(Ok(()), Err)
    };
    eventually("the lease is given back", released).await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}
