//! A real kube-apiserver and its store, a namespace for each test, and somebody who plays kubelet and Job controller.
//!
//! Nothing here runs pods: tests write the status of a Job as the Job controller would, and look at what the operator makes
//! of it.

mod faults;
pub mod operator;
mod server;

use std::{fmt::Debug, sync::Arc, time::Duration};

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Namespace, PersistentVolumeClaim, Pod},
    events::v1::Event,
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

pub use faults::Wire;
use server::Server;

/// Longest wait for anything: a machine that builds at the same time is slow.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// A namespace with nothing in it.
pub struct Cluster {
    pub server: Arc<Server>,
    /// Client of an administrator.
    pub client: Client,
    /// Name of the namespace.
    pub namespace: String,
}

impl Cluster {
    /// A namespace of its own on the server of this test binary; none where there are no binaries and REQUIRE_KUBE is unset.
    pub async fn start() -> Option<Self> {
        Some(Self::on(Server::shared().await?).await)
    }

    /// The same on a server whose CRDs take any spec, as those of another release might.
    pub async fn with_loose_crds() -> Option<Self> {
        Some(Self::on(Server::fresh(true).await?).await)
    }

    async fn on(server: Arc<Server>) -> Self {
        let client = server.client(None).await;
        let namespace = format!("t{}", Uuid::new_v4().simple());
        let object: Namespace = from_json(json!({"metadata": {"name": namespace}}));
        Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        Self { server, client, namespace }
    }

    /// The objects of a kind in the namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes the two claims that examples use.
    pub async fn make_claims(&self) {
        for name in ["bedplate-storage", "bedplate-inputs"] {
            let claim: PersistentVolumeClaim = from_json(json!({
                "metadata": {"name": name},
                "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
            }));
            self.api().create(&PostParams::default(), &claim).await.unwrap();
        }
    }

    /// Makes a Dataset, a TrainingJob on it, and a ModelDeployment of that.
    pub async fn make_chain(&self) {
        self.api::<Dataset>().create(&PostParams::default(), &from_json(dataset("texts"))).await.unwrap();
        self.api::<TrainingJob>()
            .create(&PostParams::default(), &from_json(training_job("model", "texts")))
            .await
            .unwrap();
        let deployment = from_json(model_deployment("chat", "model"));
        self.api::<ModelDeployment>().create(&PostParams::default(), &deployment).await.unwrap();
    }

    /// Lets a Job's pod run.
    pub async fn start_job(&self, name: &str) {
        self.make_pod(name).await;
        let running = json!({"phase": "Running", "startTime": "2026-11-25T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            container(json!({"running": {"startedAt": "2026-11-25T00:00:00Z"}}), true),
        ]});
        self.set_status::<Pod>(name, running).await;
        self.set_status::<Job>(name, json!({"startTime": "2026-11-25T00:00:00Z", "active": 1, "ready": 1})).await;
    }

    /// Makes a pod as the Job controller does.
    async fn make_pod(&self, job: &str) {
        let owner = self.api::<Job>().get(job).await.unwrap();
        let template = owner.spec.as_ref().unwrap().template.clone();
        let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
        pod.metadata.name = Some(job.to_owned());
        pod.metadata.owner_references = Some(vec![owner.controller_owner_ref(&()).unwrap()]);
        self.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
    }

    async fn set_status<K>(&self, name: &str, status: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Ends a Job well, its pod with that digest in its termination message.
    pub async fn complete_job(&self, name: &str, digest: &str) {
        let message = json!({"exitCode": 0, "digest": digest}).to_string();
        let ended = json!({"exitCode": 0, "message": message, "finishedAt": "2026-11-25T00:00:01Z"});
        let containers = json!([container(json!({"terminated": ended}), false)]);
        self.set_status::<Pod>(name, json!({"phase": "Succeeded", "containerStatuses": containers})).await;
        let time = "2026-11-25T00:00:01Z";
        let condition =
            |of: &str| json!({"type": of, "status": "True", "lastTransitionTime": time, "lastProbeTime": time});
        let met = json!({"active": 0, "ready": 0, "succeeded": 1, "conditions": [condition("SuccessCriteriaMet")]});
        self.set_status::<Job>(name, met).await;
        let conditions = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
        self.set_status::<Job>(name, json!({"completionTime": time, "conditions": conditions})).await;
    }

    /// The status of a resource, as it is stored.
    pub async fn status<K>(&self, name: &str) -> Value
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + serde::Serialize,
    {
        let object = self.api::<K>().get(name).await.unwrap();
        serde_json::to_value(object).unwrap()["status"].clone()
    }

    /// Waits for a resource's reason.
    pub async fn reason<K>(&self, name: &str, reason: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + serde::Serialize,
    {
        let told = async || {
            let status = self.status::<K>(name).await;
            if status["reason"] == reason { Ok(()) } else { Err(status.to_string()) }
        };
        eventually(&format!("{name} says {reason}"), told).await;
    }

    /// Names of the objects of a kind, sorted.
    pub async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
        let mut names: Vec<String> = list.into_iter().filter_map(|object| object.meta().name.clone()).collect();
        names.sort();
        names
    }

    /// Waits until there is an object of that name.
    pub async fn appears<K>(&self, name: &str) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let found = async || self.api::<K>().get_opt(name).await.unwrap().ok_or_else(|| "it is not there".to_owned());
        eventually(&format!("there is {name}"), found).await
    }

    /// Waits until there is no object of that name.
    pub async fn goes<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let gone = async || match self.api::<K>().get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(object) => Err(format!("{:?}", object.meta().finalizers)),
        };
        eventually(&format!("{name} is gone"), gone).await;
    }

    /// Reasons of the events about a resource, sorted.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        let about = |event: &Event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name));
        let mut reasons: Vec<String> = events.into_iter().filter(about).filter_map(|event| event.reason).collect();
        reasons.sort();
        reasons
    }
}

/// Waits until `look` finds what it looks for; what it says otherwise is told at the deadline.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            Err(found) => panic!("{what}: not within {DEADLINE:?}; last seen: {found}"),
        }
    }
}

fn container(state: Value, is_ready: bool) -> Value {
    json!({"name": "c", "image": "i", "imageID": "i", "restartCount": 0, "ready": is_ready, "state": state})
}

pub fn from_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A small Dataset.
pub fn dataset(name: &str) -> Value {
    json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": name},
        "spec": {
            "sources": [{"uri": "file:corpus", "format": "text"}],
            "tokenizer": {"type": "train", "vocabSize": 512}, "packing": {"sequenceLength": 64},
        },
    })
}

/// A small TrainingJob.
pub fn training_job(name: &str, dataset: &str) -> Value {
    json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name},
        "spec": {
            "model": {"type": "config", "config": {
                "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2,
            }},
            "data": [{"dataset": dataset}],
            "schedule": {"maxSteps": 10, "globalBatchSize": 8, "microBatchSize": 2, "learningRate": 0.001},
        },
    })
}

/// A ModelDeployment of a TrainingJob.
pub fn model_deployment(name: &str, training_job: &str) -> Value {
    json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name},
        "spec": {"model": {"type": "trainingJob", "name": training_job}},
    })
}
