//! What the operator makes of the three kinds, on a real API server.

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::cluster::{Cluster, dataset, eventually, from_json};

/// A content digest.
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn three_manifests_become_jobs_and_a_deployment_one_after_the_other() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    cluster.make_chain().await;
    let _operator = cluster.operator("one").await;

    let job: Job = cluster.appears("texts-dataset").await;
    cluster.reason::<TrainingJob>("model", "WaitingForDataset").await;
    cluster.reason::<ModelDeployment>("chat", "WaitingForModel").await;
    assert_eq!(job.owner_references()[0].name, "texts");
    assert_eq!(job.annotations()["bedplate.dev/operator-epoch"], "0");

    cluster.start_job("texts-dataset").await;
    cluster.reason::<Dataset>("texts", "Running").await;
    cluster.complete_job("texts-dataset", DIGEST).await;
    cluster.reason::<Dataset>("texts", "Completed").await;
    assert_eq!(cluster.status::<Dataset>("texts").await["digest"], DIGEST);

    cluster.appears::<Job>("model-trainer").await;
    cluster.start_job("model-trainer").await;
    cluster.complete_job("model-trainer", DIGEST).await;
    cluster.reason::<TrainingJob>("model", "Completed").await;

    cluster.appears::<Deployment>("chat-inference").await;
    cluster.appears::<PodDisruptionBudget>("chat-inference").await;
    let service: Service = cluster.appears("chat").await;
    assert_eq!(service.owner_references()[0].kind, "ModelDeployment");
    let conditions = cluster.status::<ModelDeployment>("chat").await["conditions"].as_array().unwrap().len();
    assert!(conditions >= 7, "{conditions} conditions");
    assert!(cluster.events("texts").await.contains(&"Completed".to_owned()), "{:?}", cluster.events("texts").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_claim_is_named_and_its_arrival_is_noticed() {
    let Some(cluster) = Cluster::start().await else { return };
    let _operator = cluster.operator("one").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    cluster.reason::<Dataset>("texts", "StorageNotFound").await;
    assert_eq!(cluster.names::<Job>().await, Vec::<String>::new());
    cluster.make_claims().await;
    cluster.appears::<Job>("texts-dataset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_dataset_stops_its_pods_removes_its_files_and_goes() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let _operator = cluster.operator("one").await;
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
    cluster.appears::<Job>("texts-dataset").await;
    cluster.start_job("texts-dataset").await;
    cluster.reason::<Dataset>("texts", "Running").await;

    cluster.api::<Dataset>().delete("texts", &DeleteParams::default()).await.unwrap();
    cluster.goes::<Job>("texts-dataset").await;
    assert!(cluster.api::<Dataset>().get_opt("texts").await.unwrap().is_some(), "it must wait for its files");
    // No garbage collector runs here.
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api::<Pod>().delete("texts-dataset", &now).await.unwrap();
    cluster.appears::<Job>("texts-dataset-cleanup").await;
    cluster.start_job("texts-dataset-cleanup").await;
    cluster.complete_job("texts-dataset-cleanup", DIGEST).await;
    cluster.goes::<Dataset>("texts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_or_deleted_by_hand_is_put_back() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let _operator = cluster.operator("one").await;
    let served = json!({
        "metadata": {"name": "chat"},
        "spec": {"model": {"type": "uri", "uri": "file:model.gguf"}},
    });
    cluster.api::<ModelDeployment>().create(&PostParams::default(), &from_json(served)).await.unwrap();
    cluster.appears::<Deployment>("chat-inference").await;
    let made: ConfigMap = cluster.appears("chat-inference").await;

    let edit = json!({"data": {"job.json": "{}"}});
    cluster.api::<ConfigMap>().patch("chat-inference", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    let restored = async || {
        let found = cluster.api::<ConfigMap>().get("chat-inference").await.unwrap();
        if found.data == made.data { Ok(()) } else { Err(format!("{:?}", found.data)) }
    };
    eventually("the job file is put back", restored).await;
    cluster.api::<Service>().delete("chat", &DeleteParams::default()).await.unwrap();
    cluster.appears::<Service>("chat").await;
}

/// Kubernetes' own rule, which no schema of ours repeats.
fn impossible() -> serde_json::Value {
    json!({"spec": {"tolerations": [{"key": "spot", "operator": "Exists", "value": "yes"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_child_is_told_in_the_status_until_it_is_mended() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let _operator = cluster.operator("one").await;
    let mut texts = dataset("texts");
    texts["spec"]["podTemplate"] = impossible();
    cluster.api::<Dataset>().create(&PostParams::default(), &from_json(texts)).await.unwrap();
    cluster.reason::<Dataset>("texts", "PodsRefused").await;
    let status = cluster.status::<Dataset>("texts").await;
    assert_eq!(status["phase"], "Pending", "{status}");
    let admitted = condition(&status, "Admitted");
    let said = admitted["message"].as_str().unwrap();
    assert!(admitted["status"] == "False" && said.contains("tolerations[0]") && said.contains("is invalid"), "{said}");

    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let told = cluster.events("texts").await.into_iter().filter(|reason| reason == "PodsRefused").count();
    assert_eq!(told, 1, "{:?}", cluster.events("texts").await);

    let mended = json!({"spec": {"podTemplate": null}});
    cluster.api::<Dataset>().patch("texts", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    cluster.appears::<Job>("texts-dataset").await;
    cluster.reason::<Dataset>("texts", "PodsStarting").await;
    assert_eq!(condition(&cluster.status::<Dataset>("texts").await, "Admitted")["status"], "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_revision_is_told_while_the_one_before_stays() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.make_claims().await;
    let _operator = cluster.operator("one").await;
    let served = json!({"metadata": {"name": "chat"}, "spec": {"model": {"type": "uri", "uri": "file:model.gguf"}}});
    cluster.api::<ModelDeployment>().create(&PostParams::default(), &from_json(served)).await.unwrap();
    let before: Deployment = cluster.appears("chat-inference").await;
    let edit = json!({"spec": {"podTemplate": impossible()}});
    cluster.api::<ModelDeployment>().patch("chat", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    cluster.reason::<ModelDeployment>("chat", "PodsRefused").await;
    let progressing = condition(&cluster.status::<ModelDeployment>("chat").await, "Progressing");
    assert!(progressing["message"].as_str().unwrap().contains("tolerations[0]"), "{progressing}");
    let after = cluster.api::<Deployment>().get("chat-inference").await.unwrap();
    assert_eq!(after.metadata.generation, before.metadata.generation);
    let mended = json!({"spec": {"podTemplate": null}});
    cluster.api::<ModelDeployment>().patch("chat", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    cluster.reason::<ModelDeployment>("chat", "PodsStarting").await;
}

fn condition(status: &serde_json::Value, name: &str) -> serde_json::Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == name).unwrap().clone()
}
