//! `ModelDeployment`: a model behind an OpenAI-compatible endpoint.
//!
//! Owns the spec and its defaults. Knows nothing of HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Desired state of a ModelDeployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelDeploymentSpec {
    /// The model to serve.
    pub model: ServedModel,
    /// Name the endpoint answers to. Default: the name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model_name: Option<String>,
    /// Pods that serve.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// Limits of the engine, in vLLM's names.
    #[serde(default)]
    pub engine: EngineArgs,
    /// Requests and limits of each pod, in Kubernetes' quantities.
    #[serde(default)]
    pub resources: BTreeMap<String, String>,
    /// How a new revision replaces the old one.
    #[serde(default)]
    pub rollout: Rollout,
}

fn default_replicas() -> u32 {
    1
}

/// The model to serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ServedModel {
    /// The final checkpoint of a TrainingJob in the same namespace.
    TrainingJob {
        /// Its name.
        name: String,
    },
    /// A safetensors folder or a GGUF file, by `file:` or `hf://owner/repository[/file.gguf]` uri.
    Uri {
        /// The uri.
        uri: String,
    },
}

/// Limits of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineArgs {
    /// Most sequences in one step.
    pub max_num_seqs: u32,
    /// Most tokens in one step, over all sequences.
    pub max_num_batched_tokens: u32,
    /// Longest prompt plus answer, in tokens. Default: the model's own limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
    /// Number format of the weights in memory.
    pub dtype: ServingDtype,
    /// Requests that may wait; one more is answered 429.
    pub max_queue_len: u32,
}

impl Default for EngineArgs {
    fn default() -> Self {
        Self {
            max_num_seqs: 16,
            max_num_batched_tokens: 512,
            max_model_len: None,
            dtype: ServingDtype::Auto,
            max_queue_len: 256,
        }
    }
}

/// Number format of the weights in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServingDtype {
    /// As the file has them.
    #[default]
    Auto,
    /// 32-bit floating point.
    Float32,
}

/// How a new revision replaces the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// Pods above `replicas` while rolling.
    pub max_surge: u32,
    /// Pods below `replicas` while rolling.
    pub max_unavailable: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { max_surge: 1, max_unavailable: 0 }
    }
}
