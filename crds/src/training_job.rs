//! `TrainingJob`: a model, its data and the recipe that trains it.
//!
//! Owns the spec and its defaults. Knows nothing of pods or kernels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::Storage;

/// Desired state of a TrainingJob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainingJobSpec {
    /// The model to train: built from a config, or continued from an earlier one.
    pub model: ModelSource,
    /// The Datasets to train on, with their shares.
    pub data: Vec<DataSource>,
    /// What the model learns to predict.
    #[serde(default)]
    pub objective: Objective,
    /// Steps, batch size and learning-rate schedule.
    pub schedule: Schedule,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Number format of weights and arithmetic.
    #[serde(default)]
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
    pub failure_policy: Vec<FailureRule>,
    /// Most seconds the job may run, suspensions not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    /// Seconds after its end when the job is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u64>,
    /// Whether the job is held back; a running one checkpoints and stops.
    #[serde(default)]
    pub suspend: bool,
    /// The controller that owns the job. Default: Bedplate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Queue that admits the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// Where checkpoints are kept. Default: the storage of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
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
        name: String,
    },
    /// A Hugging Face folder of safetensors, by `file:` or `hf://owner/repository` uri.
    Uri {
        /// The uri.
        uri: String,
    },
}

/// Shape of a LLaMA-style decoder, in the names of Hugging Face's `config.json` (snake case on purpose).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Width of the feed-forward layer.
    pub intermediate_size: u32,
    /// Number of blocks.
    pub num_hidden_layers: u32,
    /// Query heads.
    pub num_attention_heads: u32,
    /// Key and value heads; divides `num_attention_heads`. Default: as many as query heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<u32>,
    /// Width of a head. Default: `hidden_size / num_attention_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<u32>,
    /// Base of the rotary frequencies.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Added to the mean square before its root.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Longest sequence the model is meant for, in tokens. Default: the sequence length of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_position_embeddings: Option<u32>,
    /// Whether input and output embeddings are one matrix.
    #[serde(default = "crate::dataset::default_true")]
    pub tie_word_embeddings: bool,
    /// Entries of the embedding. Default: the vocabulary of the data's tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<u32>,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_initializer_range")]
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
    pub dataset: String,
    /// Share of the sequences, relative to the other sources.
    #[serde(default = "default_weight")]
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
pub struct Schedule {
    /// Optimiser steps.
    pub max_steps: u64,
    /// Sequences in one optimiser step, over all processes.
    pub global_batch_size: u32,
    /// Sequences in one forward and backward pass. Divides `globalBatchSize`.
    pub micro_batch_size: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end, as a share (0 to 1) of the peak.
    #[serde(default = "default_min_learning_rate_ratio")]
    pub min_learning_rate_ratio: f64,
    /// Shape of the curve after the warm-up.
    #[serde(default)]
    pub lr_scheduler_type: LrSchedulerType,
    /// Steps over which the rate rises linearly from zero.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Steps of the final decay of `wsd`. Default: a tenth of `maxSteps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay; norm weights and other vectors are left out.
    pub weight_decay: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it. 0 turns clipping off.
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
    /// Processes that each train on a part of the batch: 1, 2, 4 or 8. Equals the number of workers' processes.
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
    pub num_nodes: u32,
    /// Requests and limits of each, in Kubernetes' quantities (`cpu`, `memory`, `nvidia.com/gpu`).
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
    pub every_steps: u64,
    /// Newest checkpoints kept.
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
    pub max_sequences: u32,
    /// Prompts that each evaluation continues, as samples for the report. Empty takes the beginning of the hold-out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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
    pub exit_codes: Vec<i32>,
    /// What follows.
    pub action: FailureAction,
}

/// What a matched failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureAction {
    /// Starts the process again on its node.
    RestartInPlace,
    /// Starts every process of the job again.
    RestartJob,
    /// Ends the job as failed.
    FailJob,
    /// Counts nothing against the restart budget.
    Ignore,
}
