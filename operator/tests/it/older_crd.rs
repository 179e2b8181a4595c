//! Resources that another chart's CRD let in.

use bedplate_crds::dataset::Dataset;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, dataset, eventually, from_json};

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_cannot_be_read_says_so_and_stops_no_other() {
    let Some(cluster) = Cluster::with_loose_crds().await else { return };
    cluster.make_claims().await;
    let operator = cluster.operator("one").await;
    let api = kube::Api::<DynamicObject>::namespaced_with(
        cluster.client.clone(),
        &cluster.namespace,
        &ApiResource::erase::<Dataset>(&()),
    );
    let mut strange = dataset("strange");
    strange["spec"]["tokenizer"] = json!({"type": "guess"});
    let mut newer = dataset("newer");
    newer["spec"]["fieldOfALaterRelease"] = json!(true);
    for object in [strange, newer, dataset("texts")] {
        api.create(&PostParams::default(), &from_json(object)).await.unwrap();
    }
    cluster.appears::<Job>("texts-dataset").await;
    let told = async || {
        let status = api.get("strange").await.unwrap().data["status"].clone();
        if status["reason"] == "InvalidSpec" { Ok(status) } else { Err(status.to_string()) }
    };
    let status = eventually("the strange one says what is wrong", told).await;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("guess") && message.contains("upgrade"), "{message}");

    api.delete("strange", &DeleteParams::default()).await.unwrap();
    let gone = async || api.get_opt("strange").await.unwrap().map_or(Ok(()), |_| Err("it is there".to_owned()));
    eventually("the strange one can be deleted", gone).await;
    assert_eq!(operator.metric("bedplate_leader").await, 1.0);
}
