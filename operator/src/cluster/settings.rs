//! Settings of the installation that every child is made with: images, volumes and defaults.
//!
//! Owns their names in `operator.yaml` and their defaults. Never checks that an image or a claim is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job_key::JobKey;

/// PersistentVolumeClaim for artefacts of resources that name none.
const DEFAULT_STORAGE_CLAIM: &str = "bedplate-storage";
/// PersistentVolumeClaim that relative `file:` uris are read from.
const DEFAULT_INPUTS_CLAIM: &str = "bedplate-inputs";

/// What the administrator of a cluster decides for all resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSettings {
    /// Container images of the workloads.
    pub images: Images,
    /// Where artefacts are kept.
    #[serde(default = "default_storage")]
    pub storage: ClaimSettings,
    /// Where relative `file:` uris are read from.
    #[serde(default = "default_inputs")]
    pub inputs: ClaimSettings,
    /// The progress API as pods reach it; without it they report nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressSettings>,
    /// Where the pods send their traces and metrics (OTLP over gRPC); without it they send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// What pods ask for where their resource does not say.
    #[serde(default)]
    pub pod_defaults: PodDefaults,
    /// PEM of the authority that signed the progress API's certificate; read by the loop, never written in the file.
    #[serde(skip)]
    pub ca_pem: String,
    /// What the tokens of jobs are made from; set by the loop, never written in the file.
    #[serde(skip)]
    pub job_key: JobKey,
}

/// Container images of the workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Images {
    /// Image of `bedplate-dataset`.
    pub dataset: String,
    /// Image of `bedplate-trainer`.
    pub trainer: String,
    /// Image of `bedplate-inference`.
    pub inference: String,
    /// When kubelet asks the registry.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Names of Secrets with the registry's credentials, in the namespace of each resource.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
}

/// When kubelet asks the registry, in Kubernetes' words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// When the node has no such image.
    #[default]
    IfNotPresent,
    /// Never: the node has it, or the pod fails.
    Never,
}

impl PullPolicy {
    /// The word in a pod.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A PersistentVolumeClaim, looked up in the namespace of each resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimSettings {
    /// Its name.
    pub claim: String,
}

/// The progress API as pods reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgressSettings {
    /// Base URL: `https://bedplate-operator.bedplate-system.svc:8443`.
    pub url: String,
}

/// What the pods of each kind ask for where their resource does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodDefaults {
    /// Pods of a Dataset.
    pub dataset: PodResources,
    /// Pods of a TrainingJob.
    pub trainer: PodResources,
    /// Pods of a ModelDeployment.
    pub inference: PodResources,
}

/// Requests and limits of a container, in Kubernetes' quantities. A resource's own quantities replace both, name by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodResources {
    /// What the scheduler sets aside.
    pub requests: BTreeMap<String, String>,
    /// What the container may use.
    pub limits: BTreeMap<String, String>,
}

fn default_storage() -> ClaimSettings {
    ClaimSettings { claim: DEFAULT_STORAGE_CLAIM.to_owned() }
}

fn default_inputs() -> ClaimSettings {
    ClaimSettings { claim: DEFAULT_INPUTS_CLAIM.to_owned() }
}
