//! What a Dataset reports: how far it is, what each stage kept, and what came out.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{self, Reason};

/// Observed state of a Dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::structural)]
pub struct DatasetStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Admitted, PodsReady, Running, Complete, Failed and Deleting.
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Where it is, in one word, computed from the conditions for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<DatasetPhase>,
    /// Why it is there: the reason of the condition that decides the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Documents and bytes into and out of each stage, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub stages: Vec<StageStatus>,
    /// Documents kept, hold-out included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
    /// Bytes of their text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Tokens of their text, document borders included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Shard files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<u64>,
    /// blake3 over the content, hex: what a TrainingJob's lineage refers to. The same text gives the same digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When the figures of a run were last reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_time: Option<Time>,
    /// When the first pod started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it was complete or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Texts of the printer columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<DatasetSummary>,
}

/// Where a Dataset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatasetPhase {
    /// Nothing runs yet.
    Pending,
    /// Its stages run.
    Running,
    /// Its shards can be trained on.
    Ready,
    /// It ended early.
    Failed,
    /// It is being deleted.
    Deleting,
}

/// What one stage kept so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage.
    pub stage: String,
    /// Documents that went in.
    pub documents_in: u64,
    /// Documents that came out.
    pub documents_out: u64,
    /// Bytes that went in.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// What `read` left out, by what it is, such as `broken line` or `zip archive`, and how many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Whether nothing it depends on had changed, so that its earlier output was taken.
    #[serde(default)]
    pub cached: bool,
}

/// Texts of the printer columns, computed from the fields beside them; no program reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatasetSummary {
    /// The present stage and how much of it is done, such as `tokenize 42%`.
    pub progress: String,
}
