//! An operator that has nothing to do does nothing, and one that cannot do its work does not try without end.

use std::time::Duration;

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, Wire, from_json};

/// How long an operator is watched.
const WINDOW: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_operator_writes_nothing_and_hardly_looks() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    cluster.make_chain().await;
    let wire = Wire::default();
    let operator = cluster.operator_through("one", &wire).await;
    cluster.reason::<Dataset>("texts", "PodsStarting").await;
    cluster.reason::<ModelDeployment>("chat", "WaitingForModel").await;
    let mut before = wire.writes();
    // The last writes of the beginning are news, and may still be under way.
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if std::mem::replace(&mut before, wire.writes()) == wire.writes() {
            break;
        }
    }
    let looks = operator.metric("bedplate_reconcile_total").await;
    tokio::time::sleep(WINDOW).await;
    assert_eq!(wire.writes(), before, "a reconcile that finds nothing new writes nothing");
    let looks = operator.metric("bedplate_reconcile_total").await - looks;
    assert!(looks <= 9.0, "{looks} reconciles of three resources in {WINDOW:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_cannot_be_reconciled_costs_a_few_attempts_however_often_it_is_touched() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    // Somebody else's Service has the name that the model's address would have.
    let taken = json!({"metadata": {"name": "chat"}, "spec": {"ports": [{"port": 80}]}});
    cluster.api::<Service>().create(&PostParams::default(), &from_json(taken)).await.unwrap();
    let operator = cluster.operator("one").await;
    let served = json!({"metadata": {"name": "chat"}, "spec": {"model": {"type": "uri", "uri": "file:model.gguf"}}});
    cluster.api::<ModelDeployment>().create(&PostParams::default(), &from_json(served)).await.unwrap();
    let told = async || {
        let events = cluster.events("chat").await;
        if events.contains(&"InfrastructureFailed".to_owned()) { Ok(()) } else { Err(format!("{events:?}")) }
    };
    crate::cluster::eventually("the taken name is told", told).await;

    let before = operator.metric("bedplate_reconcile_total").await;
    let deadline = tokio::time::Instant::now() + WINDOW;
    let mut touch = 0;
    while tokio::time::Instant::now() < deadline {
        touch += 1;
        let patch = json!({"metadata": {"annotations": {"touched": touch.to_string()}}});
        let api = cluster.api::<ModelDeployment>();
        api.patch("chat", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let attempts = operator.metric("bedplate_reconcile_total").await - before;
    assert!((1.0..=6.0).contains(&attempts), "{attempts} attempts in {WINDOW:?} with {touch} touches");
    let told = cluster.events("chat").await.into_iter().filter(|reason| reason == "InfrastructureFailed").count();
    assert_eq!(told, 1, "the same news is one event");
    let service = cluster.api::<Service>().get("chat").await.unwrap();
    assert!(service.metadata.owner_references.is_none(), "somebody else's Service is left alone");
}
