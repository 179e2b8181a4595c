//! Several operators at once, and operators that end in every way.

use bedplate_crds::dataset::Dataset;
use k8s_openapi::api::{batch::v1::Job, coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::{Cluster, dataset, eventually, from_json};

trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned
{
}
impl Child for ConfigMap {}
impl Child for Job {}

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
    let followed = json!({"spec": {"holderIdentity": "two", "leaseTransitions": 1}});
    let leases = cluster.api::<Lease>();
    leases.patch("bedplate-operator", &PatchParams::default(), &Patch::Merge(&followed)).await.unwrap();
    number_child::<ConfigMap>(&cluster, "texts-dataset", "1").await;
    operator.ends().await;
    assert_eq!(number::<ConfigMap>(&cluster, "texts-dataset").await, "1", "what the other one wrote stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_that_a_tenant_writes_into_a_child_ends_a_term() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let operator = cluster.operator("one").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    cluster.appears::<Job>("texts-dataset").await;
    for forged in ["1", "999999", "9223372036854775807"] {
        number_child::<ConfigMap>(&cluster, "texts-dataset", forged).await;
        number_child::<Job>(&cluster, "texts-dataset", forged).await;
        put_right::<ConfigMap>(&cluster, "texts-dataset").await;
        put_right::<Job>(&cluster, "texts-dataset").await;
    }
    for no_number in ["-5", "many", "", "99999999999999999999999999"] {
        number_child::<ConfigMap>(&cluster, "texts-dataset", no_number).await;
    }
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("more"))).await.unwrap();
    cluster.appears::<Job>("more-dataset").await;
    assert_eq!(operator.metric("bedplate_leader").await, 1.0);
    let lease = cluster.api::<Lease>().get("bedplate-operator").await.unwrap().spec.unwrap();
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_transitions), (Some("one"), Some(0)));
    let told = cluster.events("texts").await.into_iter().filter(|reason| reason == "InfrastructureFailed").count();
    assert_eq!(told, 1, "the child is named once, however often it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lease_counts_on_from_what_children_carry() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let first = cluster.operator("one").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    cluster.appears::<Job>("texts-dataset").await;
    first.stop().await;
    number_child::<ConfigMap>(&cluster, "texts-dataset", "41").await;
    // Nobody has led so often: it is not believed.
    number_child::<Job>(&cluster, "texts-dataset", "4611686018427387904").await;
    let leases = cluster.api::<Lease>();
    leases.delete("bedplate-operator", &DeleteParams::default()).await.unwrap();
    let second = cluster.operator("two").await;
    second.leads().await;
    let lease = leases.get("bedplate-operator").await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_transitions, Some(42));
    let is_right = async || match number::<Job>(&cluster, "texts-dataset").await.as_str() {
        "42" => Ok(()),
        other => Err(other.to_owned()),
    };
    eventually("the number of the Job is put right", is_right).await;
}

/// Writes a number into a child, as whoever may edit it can.
async fn number_child<K: Child>(cluster: &Cluster, name: &str, number: &str) {
    let patch = json!({"metadata": {"annotations": {"bedplate.dev/operator-epoch": number}}});
    cluster.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn number<K: Child>(cluster: &Cluster, name: &str) -> String {
    cluster.api::<K>().get(name).await.unwrap().annotations()["bedplate.dev/operator-epoch"].clone()
}

async fn put_right<K: Child>(cluster: &Cluster, name: &str) {
    let is_right = async || match number::<K>(cluster, name).await.as_str() {
        "0" => Ok(()),
        other => Err(other.to_owned()),
    };
    eventually(&format!("the number of {name} is put right"), is_right).await;
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
