//! `TrainingJob`: a model, its data and the recipe that trains it.
//!
//! Owns the spec and its defaults. Knows nothing of pods or kernels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{dataset::Storage, pod_template::PodTemplate, quantity};

#[cfg(feature = "kube")]
pub mod status;

/// Why the fields that decide the result stay as they are: the lineage of a checkpoint would be untrue otherwise.
const FIXED: &str = "cannot change, for it decides the result of the run: make a new TrainingJob, with model.type trainingJob to go on from this one";

/// Desired state of a TrainingJob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "kube", derive(kube::CustomResource))]
#[cfg_attr(
    feature = "kube",
    kube(
        group = "bedplate.dev",
        version = "v1alpha1",
        kind = "TrainingJob",
        doc = "One training run: a model, its data and the recipe that trains it.",
        namespaced,
        status = "status::TrainingJobStatus",
        derive = "PartialEq",
        shortname = "tjob",
        category = "bedplate",
        printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
        printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
        printcolumn(name = "Nodes", type_ = "string", json_path = ".status.summary.nodes"),
        printcolumn(name = "Step", type_ = "string", json_path = ".status.summary.step"),
        printcolumn(name = "Progress", type_ = "string", json_path = ".status.summary.progress"),
        printcolumn(name = "ETA", type_ = "string", json_path = ".status.summary.eta"),
        printcolumn(name = "Restarts", type_ = "string", json_path = ".status.summary.restarts"),
        printcolumn(name = "Queue", type_ = "string", json_path = ".spec.queueName"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
        printcolumn(name = "Loss", type_ = "number", json_path = ".status.metrics.loss", priority = 1),
        printcolumn(name = "Tok/s", type_ = "number", json_path = ".status.metrics.tokensPerSecond", priority = 1),
        printcolumn(name = "Last-Ckpt", type_ = "date", json_path = ".status.checkpoint.time", priority = 1),
        validation = crate::schema::SHORT_NAME,
        validation = crate::schema::service_name()
    )
)]
#[schemars(transform = crate::schema::structural)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "self.parallelism.data == self.workers.numNodes", "fieldPath": ".parallelism.data",
      "message": "parallelism.data differs from workers.numNodes: each node runs one process, so give both the same number" },
    { "rule": "self.schedule.globalBatchSize / self.schedule.microBatchSize % self.parallelism.data == 0",
      "fieldPath": ".schedule.globalBatchSize",
      "message": "every process takes as many micro-batches of a step as the others: make schedule.globalBatchSize a multiple of schedule.microBatchSize times parallelism.data" },
    { "rule": "has(self.storage) == has(oldSelf.storage)",
      "message": "storage cannot be added or removed: the checkpoints lie there; make a new TrainingJob" },
    { "rule": "has(self.managedBy) == has(oldSelf.managedBy)",
      "message": "managedBy cannot be added or removed: make a new TrainingJob" },
    { "rule": "oldSelf.suspend || (has(self.queueName) ? self.queueName : '') == (has(oldSelf.queueName) ? oldSelf.queueName : '')",
      "message": "queueName cannot change while the job is admitted: set suspend to true first" }]))]
pub struct TrainingJobSpec {
    /// The model to train: built from a config, or continued from an earlier one.
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": FIXED }]))]
    pub model: ModelSource,
    /// The Datasets to train on, with their shares.
    #[schemars(length(min = 1, max = 64), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["dataset"],
        "x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": FIXED }]))]
    pub data: Vec<DataSource>,
    /// What the model learns to predict.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": FIXED }]))]
    pub objective: Objective,
    /// Steps, batch size and learning-rate schedule.
    pub schedule: Schedule,
    /// The optimiser.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": FIXED }]))]
    pub optimizer: Optimizer,
    /// Number format of weights and arithmetic.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": FIXED }]))]
    pub precision: Precision,
    /// How the work is split over processes.
    #[serde(default)]
    pub parallelism: Parallelism,
    /// The pods that carry it out.
    #[serde(default)]
    pub workers: Workers,
    /// When checkpoints are written and how many are kept.
    #[serde(default)]
    pub checkpoint: CheckpointPolicy,
    /// When the hold-out is measured.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// Ordered rules that say what a failure leads to. Default: restart on infrastructure failures, fail on user errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failure_policy: Vec<FailureRule>,
    /// Most seconds the job may run, suspensions not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<u64>,
    /// Seconds after its end when the job is deleted, its checkpoints and its model with it; it waits for what uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u64>,
    /// Whether the job is held back; a running one checkpoints and stops.
    #[serde(default)]
    pub suspend: bool,
    /// The controller that owns the job. Default: Bedplate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [
        { "rule": "self == oldSelf", "message": "managedBy cannot change: make a new TrainingJob" }]))]
    pub managed_by: Option<String>,
    /// Queue that admits the job; may change while the job is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub queue_name: Option<String>,
    /// Where checkpoints are kept. Default: the storage of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": "storage cannot change: the checkpoints lie there; make a new TrainingJob" }]))]
    pub storage: Option<Storage>,
    /// Settings of the pods that no field above covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// The model to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ModelSource {
    /// Random weights in the shape of this config.
    Config {
        /// The model's shape, in Hugging Face's names.
        config: ModelShape,
    },
    /// The final checkpoint of another TrainingJob in the same namespace.
    TrainingJob {
        /// Its name.
        #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
        name: String,
    },
    /// A Hugging Face folder of safetensors, by `file:` or `hf://owner/repository` uri.
    Uri {
        /// The uri.
        #[schemars(length(max = 2048), extend("x-kubernetes-validations" = [
            { "rule": "self.matches('^(file:|hf://)/*[^/]')",
              "message": "use file:relative/folder, file:///absolute/folder or hf://owner/repository" }]))]
        uri: String,
    },
}

/// Shape of a LLaMA-style decoder, in the names of Hugging Face's `config.json` (snake case on purpose).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "!has(self.num_key_value_heads) || self.num_attention_heads % self.num_key_value_heads == 0",
      "message": "num_key_value_heads does not divide num_attention_heads: give every group of query heads one key and value head" },
    { "rule": "has(self.head_dim) || self.hidden_size % (2 * self.num_attention_heads) == 0",
      "message": "twice num_attention_heads does not divide hidden_size: choose a width whose heads are even, or set head_dim" }]))]
pub struct ModelShape {
    /// Width of the residual stream.
    #[schemars(range(min = 1))]
    pub hidden_size: u32,
    /// Width of the feed-forward layer.
    #[schemars(range(min = 1))]
    pub intermediate_size: u32,
    /// Number of blocks.
    #[schemars(range(min = 1))]
    pub num_hidden_layers: u32,
    /// Query heads.
    #[schemars(range(min = 1))]
    pub num_attention_heads: u32,
    /// Key and value heads; divides `num_attention_heads`. Default: as many as query heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub num_key_value_heads: Option<u32>,
    /// Width of a head. Default: `hidden_size / num_attention_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2), extend("multipleOf" = 2))]
    pub head_dim: Option<u32>,
    /// Base of the rotary frequencies.
    #[serde(default = "default_rope_theta")]
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub rope_theta: f64,
    /// Added to the mean square before its root.
    #[serde(default = "default_rms_norm_eps")]
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub rms_norm_eps: f64,
    /// Longest sequence the model is meant for, in tokens. Default: the sequence length of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub max_position_embeddings: Option<u32>,
    /// Whether input and output embeddings are one matrix.
    #[serde(default = "crate::dataset::default_true")]
    pub tie_word_embeddings: bool,
    /// Entries of the embedding. Default: the vocabulary of the data's tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub vocab_size: Option<u32>,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_initializer_range")]
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub initializer_range: f64,
}

fn default_rope_theta() -> f64 {
    10_000.0
}

fn default_rms_norm_eps() -> f64 {
    1e-5
}

fn default_initializer_range() -> f64 {
    0.02
}

/// One Dataset and its share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSource {
    /// Name of a Dataset in the same namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub dataset: String,
    /// Share of the sequences, relative to the other sources.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub weight: f64,
}

fn default_weight() -> f64 {
    1.0
}

/// What the model learns to predict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Objective {
    /// The next token, at every position.
    #[default]
    CausalLm,
}

/// Steps, batch and learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "self == oldSelf",
      "message": FIXED },
    { "rule": "self.globalBatchSize % self.microBatchSize == 0", "fieldPath": ".globalBatchSize",
      "message": "microBatchSize does not divide globalBatchSize: make the global batch a multiple of the micro-batch" },
    { "rule": "self.warmupSteps <= self.maxSteps", "fieldPath": ".warmupSteps",
      "message": "warmupSteps is more than maxSteps, so the peak rate is never reached: lower warmupSteps" },
    { "rule": "!has(self.decaySteps) || self.decaySteps + self.warmupSteps <= self.maxSteps", "fieldPath": ".decaySteps",
      "message": "warmupSteps and decaySteps together are more than maxSteps: lower one of them" }]))]
pub struct Schedule {
    /// Optimiser steps.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub max_steps: u64,
    /// Sequences in one optimiser step, over all processes.
    #[schemars(range(min = 1))]
    pub global_batch_size: u32,
    /// Sequences in one forward and backward pass. Divides `globalBatchSize`.
    #[schemars(range(min = 1))]
    pub micro_batch_size: u32,
    /// Peak learning rate.
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub learning_rate: f64,
    /// Learning rate at the end, as a share (0 to 1) of the peak.
    #[serde(default = "default_min_learning_rate_ratio")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_learning_rate_ratio: f64,
    /// Shape of the curve after the warm-up.
    #[serde(default)]
    pub lr_scheduler_type: LrSchedulerType,
    /// Steps over which the rate rises linearly from zero.
    #[serde(default)]
    #[schemars(range(max = 1_000_000_000_000_u64))]
    pub warmup_steps: u64,
    /// Steps of the final decay of `wsd`. Default: a tenth of `maxSteps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000_000_u64))]
    pub decay_steps: Option<u64>,
    /// Seed of weights and data order.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

fn default_min_learning_rate_ratio() -> f64 {
    0.1
}

fn default_seed() -> u64 {
    42
}

/// Shape of the learning-rate curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LrSchedulerType {
    /// Half a cosine down to the minimum (SGDR, Loshchilov and Hutter 2017, without restarts).
    #[default]
    Cosine,
    /// A straight line down to the minimum.
    Linear,
    /// Warm-up, stable, decay: constant, then a line down over `decaySteps` (MiniCPM, Hu et al. 2024).
    Wsd,
    /// The peak rate throughout.
    Constant,
}

/// AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Optimizer {
    /// Decay of the first moment.
    #[schemars(range(min = 0.0, max = 1.0), extend("exclusiveMaximum" = true))]
    pub beta1: f64,
    /// Decay of the second moment.
    #[schemars(range(min = 0.0, max = 1.0), extend("exclusiveMaximum" = true))]
    pub beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(range(min = 0.0), extend("exclusiveMinimum" = true))]
    pub epsilon: f64,
    /// Decoupled weight decay; norm weights and other vectors are left out.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it. 0 turns clipping off.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1, max_grad_norm: 1.0 }
    }
}

/// Number format of weights and arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point throughout.
    #[default]
    Fp32,
}

/// How the work is split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Parallelism {
    /// Processes that each train on a part of the batch: 1, 2, 4 or 8. Equals `workers.numNodes`.
    #[schemars(range(min = 1, max = 8), extend("x-kubernetes-validations" = [
        { "rule": "self in [1, 2, 4, 8]",
          "message": "use 1, 2, 4 or 8 processes: with those the sums of gradients are the same bits as with one" }]))]
    pub data: u32,
}

impl Default for Parallelism {
    fn default() -> Self {
        Self { data: 1 }
    }
}

/// The pods of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workers {
    /// Pods, one process each.
    #[schemars(range(min = 1))]
    pub num_nodes: u32,
    /// Requests and limits of each, in Kubernetes' quantities (`cpu`, `memory`, `nvidia.com/gpu`).
    #[serde(deserialize_with = "quantity::deserialize_map")]
    #[schemars(schema_with = "quantity::map_schema")]
    pub resources_per_node: BTreeMap<String, String>,
}

impl Default for Workers {
    fn default() -> Self {
        Self { num_nodes: 1, resources_per_node: BTreeMap::new() }
    }
}

/// When checkpoints are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CheckpointPolicy {
    /// Steps between checkpoints; the last step always writes one.
    #[schemars(range(min = 1))]
    pub every_steps: u64,
    /// Newest checkpoints kept.
    #[schemars(range(min = 1))]
    pub keep: u32,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { every_steps: 100, keep: 2 }
    }
}

/// When the hold-out is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Evaluation {
    /// Steps between evaluations; the last step always runs one. 0 evaluates at the end only.
    pub every_steps: u64,
    /// Most hold-out sequences of one evaluation.
    #[schemars(range(min = 1))]
    pub max_sequences: u32,
    /// Prompts that each evaluation continues, as samples for the report. Empty takes the beginning of the hold-out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 4096)))]
    pub sample_prompts: Vec<String>,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self { every_steps: 0, max_sequences: 64, sample_prompts: Vec::new() }
    }
}

/// One rule: what happened, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureRule {
    /// Exit codes of the trainer that the rule matches (the table is in docs/exit-codes.md).
    #[schemars(length(min = 1, max = 64), inner(range(min = 1, max = 255)))]
    pub exit_codes: Vec<i32>,
    /// What follows.
    pub action: FailureAction,
}

/// What a matched failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureAction {
    /// Starts the process again, on a cluster in a new pod. The other processes of the job lose it, end, and start again too.
    RestartInPlace,
    /// Starts every process of the job again.
    RestartJob,
    /// Ends the job as failed.
    FailJob,
    /// Counts nothing against the restart budget.
    Ignore,
}
