//! `ModelDeployment`: a model behind an OpenAI-compatible endpoint.
//!
//! Owns the spec and its defaults. Knows nothing of HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{pod_template::PodTemplate, quantity};

#[cfg(feature = "kube")]
pub mod status;

/// Desired state of a ModelDeployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "kube", derive(kube::CustomResource))]
#[cfg_attr(
    feature = "kube",
    kube(
        group = "bedplate.dev",
        version = "v1alpha1",
        kind = "ModelDeployment",
        doc = "A model behind an OpenAI-compatible endpoint.",
        namespaced,
        status = "status::ModelDeploymentStatus",
        derive = "PartialEq",
        shortname = "mdep",
        category = "bedplate",
        scale(
            spec_replicas_path = ".spec.replicas",
            status_replicas_path = ".status.replicas",
            label_selector_path = ".status.selector"
        ),
        printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
        printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
        printcolumn(name = "Ready", type_ = "string", json_path = ".status.summary.ready"),
        printcolumn(name = "Model", type_ = "string", json_path = ".status.servedModelName"),
        printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
        printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision", priority = 1),
        printcolumn(name = "Digest", type_ = "string", json_path = ".status.modelDigest", priority = 1),
        validation = crate::schema::SHORT_NAME,
        validation = crate::schema::service_name()
    )
)]
#[schemars(transform = crate::schema::structural)]
pub struct ModelDeploymentSpec {
    /// The model to serve.
    pub model: ServedModel,
    /// Name the endpoint answers to. Default: the name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [
        { "rule": "self.trim().size() > 0",
          "message": "name the model, or leave the field out to use the name of the resource" }]))]
    pub served_model_name: Option<String>,
    /// Pods that serve.
    #[serde(default = "default_replicas")]
    #[schemars(range(max = 10_000))]
    pub replicas: u32,
    /// Limits of the engine, in vLLM's names.
    #[serde(default)]
    pub engine: EngineArgs,
    /// Requests and limits of each pod, in Kubernetes' quantities.
    #[serde(default, deserialize_with = "quantity::deserialize_map")]
    #[schemars(schema_with = "quantity::map_schema")]
    pub resources: BTreeMap<String, String>,
    /// How a new revision replaces the old one.
    #[serde(default)]
    pub rollout: Rollout,
    /// Settings of the pods that no field above covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
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
        #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
        name: String,
    },
    /// A safetensors folder or a GGUF file, by `file:` or `hf://owner/repository[/file.gguf]` uri.
    Uri {
        /// The uri.
        #[schemars(length(max = 2048), extend("x-kubernetes-validations" = [
            { "rule": "self.matches('^(file:|hf://)/*[^/]')",
              "message": "use file:relative/model, file:///absolute/model, hf://owner/repository or hf://owner/repository/file.gguf" }]))]
        uri: String,
    },
}

/// Limits of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "self.maxNumBatchedTokens >= self.maxNumSeqs", "fieldPath": ".maxNumBatchedTokens",
      "message": "maxNumBatchedTokens is less than maxNumSeqs, but each sequence takes one token a step: raise the one or lower the other" }]))]
pub struct EngineArgs {
    /// Most sequences in one step.
    #[schemars(range(min = 1))]
    pub max_num_seqs: u32,
    /// Most tokens in one step, over all sequences.
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// Longest prompt plus answer, in tokens. Default: the model's own limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
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
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "self.maxSurge > 0 || self.maxUnavailable > 0",
      "message": "maxSurge and maxUnavailable are both 0, so no pod could ever be replaced: raise one of them" }]))]
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
