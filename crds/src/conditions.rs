//! Conditions: what is true of a resource, and why.
//!
//! Owns two closed lists. A reason is the same word in the condition, in the event and as the label of a metric; a person
//! reads the condition's message. Never holds a message.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Most conditions a resource has: one a type.
const MAX_CONDITIONS: u32 = 16;

/// Condition types. Every one that a kind has is there from its first reconcile on, as `Unknown` until it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// The spec is valid and everything it refers to exists. All kinds.
    Accepted,
    /// Every Dataset that is referred to has its shards. TrainingJob.
    DatasetReady,
    /// The model that is referred to can be read. TrainingJob, ModelDeployment.
    ModelReady,
    /// The queue has set the quota aside. TrainingJob.
    QuotaReserved,
    /// The pods may be created. TrainingJob, Dataset.
    Admitted,
    /// All the pods that are wanted are ready. All kinds.
    PodsReady,
    /// The workload runs in all its pods. TrainingJob, Dataset.
    Running,
    /// A checkpoint is durable, so a restart loses less than the run. TrainingJob.
    Checkpointed,
    /// A newer revision is replacing an older one. ModelDeployment.
    Progressing,
    /// The endpoint answers. ModelDeployment.
    Available,
    /// It works, but with fewer pods or less speed than was asked for. TrainingJob, ModelDeployment.
    Degraded,
    /// It is held back by `spec.suspend` or by its queue. TrainingJob.
    Suspended,
    /// Everything asked for was done. TrainingJob, Dataset.
    Complete,
    /// It ended early and will not be tried again. TrainingJob, Dataset.
    Failed,
    /// It is being deleted; the message says what that waits for. All kinds.
    Deleting,
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// Nothing is known yet.
    Pending,
    /// The spec is valid.
    Accepted,
    /// The spec does not ask for it.
    NotRequested,
    /// A field is wrong; the message names it and the remedy.
    InvalidSpec,
    /// A name in the spec leads nowhere.
    ReferenceNotFound,
    /// A Dataset that is referred to is not finished.
    WaitingForDataset,
    /// A model that is referred to is not finished.
    WaitingForModel,
    /// The Datasets that are referred to have their shards.
    DatasetReady,
    /// The model that is referred to can be read.
    ModelReady,
    /// A PersistentVolumeClaim is not there; the message says how to make it.
    StorageNotFound,
    /// A PersistentVolumeClaim is there, but no volume is bound to it.
    StorageNotBound,
    /// The queue has no quota left.
    WaitingForQuota,
    /// A ResourceQuota of the namespace leaves no room for the pods.
    QuotaExceeded,
    /// No set of nodes can take all the pods at once.
    InsufficientResources,
    /// The API server or a node refuses the pods; the message says why.
    PodsRefused,
    /// A node cannot get the container image.
    ImagePullFailed,
    /// The pods may be created.
    Admitted,
    /// Held back by `spec.suspend`.
    Suspended,
    /// The pods are created and not yet ready.
    PodsStarting,
    /// The pods are ready.
    PodsReady,
    /// The workload runs in all its pods.
    Running,
    /// A checkpoint is durable.
    Checkpointed,
    /// No checkpoint is durable yet.
    NoCheckpoint,
    /// It runs with all that was asked for.
    AsExpected,
    /// It has not ended.
    NotFinished,
    /// Everything asked for was done.
    Completed,
    /// The job file, the data or the model is wrong (exit code 11).
    InvalidConfig,
    /// The plan does not fit the memory, or an allocation failed (exit code 12).
    OutOfMemory,
    /// Another rank went away (exit code 13).
    PeerLost,
    /// Stopped after writing a checkpoint (exit code 14).
    Preempted,
    /// The storage is full or cannot be written (exit code 15).
    StorageFailed,
    /// A file fails its hash (exit code 16).
    CorruptData,
    /// A node or a pod was lost.
    InfrastructureFailed,
    /// The process ended in a way that docs/exit-codes.md does not list; the message has its last words.
    WorkloadFailed,
    /// The restarts that were allowed are used up.
    RestartBudgetSpent,
    /// It ran longer than `spec.activeDeadlineSeconds`.
    DeadlineExceeded,
    /// A newer revision is replacing an older one.
    RollingOut,
    /// Every pod is of the newest revision.
    RolledOut,
    /// The endpoint answers.
    Serving,
    /// No pod answers.
    NotServing,
    /// Another resource uses it; the message names it.
    InUse,
    /// Its pods are stopped and its files removed.
    CleaningUp,
    /// Its files could not be removed; the message says where they are.
    CleanupFailed,
}

impl std::fmt::Display for ConditionType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Schema of `status.conditions`: one a type, so that two writers can each own theirs.
pub(crate) fn list_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Vec::<Condition>::json_schema(generator);
    schema.insert("maxItems".to_owned(), MAX_CONDITIONS.into());
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), vec!["type"].into());
    schema
}
