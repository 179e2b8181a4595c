//! What a ModelDeployment reports: where it answers, with how many pods, and which revision of the model.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{self, Reason};

/// Observed state of a ModelDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::structural)]
pub struct ModelDeploymentStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, ModelReady, PodsReady, Progressing, Available, Degraded and Deleting.
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Where it is, in one word, computed from the conditions for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<ModelDeploymentPhase>,
    /// Why it is there: the reason of the condition that decides the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Base URL of the OpenAI-compatible endpoint inside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name the endpoint answers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_model_name: Option<String>,
    /// Pods of all revisions; the scale subresource reads it.
    pub replicas: u32,
    /// Pods that answer.
    pub ready_replicas: u32,
    /// Pods of the newest revision.
    pub updated_replicas: u32,
    /// Label selector of the pods, as text; autoscalers read it through the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Name of the newest revision: a hash of what its pods are made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Digest of the checkpoint or file that is served, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    /// Texts of the printer columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<ModelDeploymentSummary>,
}

/// Where a ModelDeployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModelDeploymentPhase {
    /// It waits for its model, or its spec is not accepted.
    Pending,
    /// Its first pods are being started.
    Starting,
    /// It answers with all its pods.
    Ready,
    /// It answers while a newer revision replaces an older one.
    RollingOut,
    /// It answers with fewer pods than were asked for.
    Degraded,
    /// It does not answer.
    Failed,
    /// It is being deleted.
    Deleting,
}

/// Texts of the printer columns, computed from the fields beside them; no program reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelDeploymentSummary {
    /// Ready and wanted pods, such as `2/3`.
    pub ready: String,
}
