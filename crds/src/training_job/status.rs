//! What a TrainingJob reports: where it is and why, how far, how well, and what a restart would lose.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{self, Reason};

/// Observed state of a TrainingJob. Written at most once in 15 s while it runs; every step's figures are in the history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::structural)]
pub struct TrainingJobStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, DatasetReady, ModelReady, QuotaReserved, Admitted, PodsReady, Running, Checkpointed, Degraded, Suspended,
    /// Complete, Failed and Deleting.
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Where it is, in one word, computed from the conditions for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<TrainingJobPhase>,
    /// Why it is there: the reason of the condition that decides the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Pods that are wanted and ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<TrainingProgress>,
    /// Figures of the latest step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<LatestMetrics>,
    /// Figures of the latest evaluation on the hold-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<LatestEvaluation>,
    /// The newest durable checkpoint: what a restart goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// Restarts so far, by who is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<RestartCounts>,
    /// Digests of the Datasets it trains on, in the order of `spec.data`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub dataset_digests: Vec<String>,
    /// When the first pod of the first attempt started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it was complete or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Seconds it has run, suspensions and waits not counted; the trainer holds its own count against
    /// `spec.activeDeadlineSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_seconds: Option<u64>,
    /// Up to when `activeSeconds` counts; none while it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_until: Option<Time>,
    /// Pod of rank 0 in the present attempt, where the log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_pod: Option<String>,
    /// Texts of the printer columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<TrainingSummary>,
}

/// Where a TrainingJob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrainingJobPhase {
    /// It waits for a Dataset or a model, or its spec is not accepted.
    Pending,
    /// It waits for quota or for nodes.
    Queued,
    /// Its pods are being started.
    Starting,
    /// It trains.
    Running,
    /// It is held back.
    Suspended,
    /// It trained every step.
    Complete,
    /// It ended early.
    Failed,
    /// It is being deleted.
    Deleting,
}

/// Pods of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Pods that are wanted.
    pub desired: u32,
    /// Pods that are ready.
    pub ready: u32,
}

/// How far the job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrainingProgress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole job.
    pub max_steps: u64,
    /// Share of the steps done, in percent.
    #[schemars(range(max = 100))]
    pub percent: u32,
    /// Seconds until the last step at the present rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
}

/// Figures of the latest step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatestMetrics {
    /// Mean negative log-likelihood of a target token, in nats.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens per second, all processes together.
    pub tokens_per_second: f64,
    /// Tokens seen since the beginning of the job.
    pub tokens: u64,
    /// When the step was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// Figures of the latest evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatestEvaluation {
    /// Step after which it was measured.
    pub step: u64,
    /// Mean negative log-likelihood of a token, in nats.
    pub loss: f64,
    /// The same in bits per byte of text.
    pub bits_per_byte: f64,
}

/// A durable checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckpointStatus {
    /// Step it holds.
    pub step: u64,
    /// Digest of its content, hex: the same whatever the number of processes.
    pub digest: String,
    /// Size on disk.
    pub bytes: u64,
    /// When it became durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// Restarts by who is to blame; a durable checkpoint refills both budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartCounts {
    /// After failures of the job itself.
    pub user: u32,
    /// After failures of nodes, pods or storage.
    pub infrastructure: u32,
}

/// Texts of the printer columns, computed from the fields beside them; no program reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrainingSummary {
    /// Ready and wanted pods, such as `2/4`.
    pub nodes: String,
    /// Steps done and in all, such as `120/2000`.
    pub step: String,
    /// Share of the steps done, such as `6%`.
    pub progress: String,
    /// Time until the last step, such as `41m`.
    pub eta: String,
    /// Restarts by user and by infrastructure, such as `0/1`.
    pub restarts: String,
}
