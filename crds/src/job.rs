//! Job files: what a pod (or a local process) is handed, and what it reports and leaves behind.
//!
//! One JSON file per workload, read with `--config`; every path in it is absolute. Never names a cluster object.

pub mod exit;
pub mod manifest;
pub mod progress;
pub mod secret;
pub mod termination;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::secret::Secret;
use crate::{dataset::DatasetSpec, model_deployment::EngineArgs, training_job::TrainingJobSpec};

/// Folder below a volume that holds the output folders of Datasets: `<volume>/datasets/<namespace>/<name>`.
pub const DATASETS_FOLDER: &str = "datasets";
/// The same for TrainingJobs.
pub const TRAINING_JOBS_FOLDER: &str = "training-jobs";

/// Which resource a job file was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobMetadata {
    /// Name of the resource.
    pub name: String,
    /// Namespace of the resource.
    pub namespace: String,
    /// W3C trace context of the reconcile that made the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Where a pod reports its progress: the operator's progress API. A job without it keeps its progress file to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reporting {
    /// Base URL of the progress API: `https://host:port`.
    pub url: String,
    /// PEM file with the certificate authority that the server's certificate is checked against.
    pub ca_file: PathBuf,
    /// File with the projected service-account token; read again for every call, since kubelet renews it.
    pub token_file: PathBuf,
    /// Kind of the resource: Dataset, TrainingJob or ModelDeployment.
    pub kind: String,
    /// Uid of the resource; the token's audience is `bedplate.dev/<uid>`.
    pub uid: String,
}

/// Job file of `bedplate-dataset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatasetJob {
    /// Whose job this is.
    pub metadata: JobMetadata,
    /// The spec, defaults filled in.
    pub spec: DatasetSpec,
    /// Folder that relative `file:` uris start from.
    pub input_root: PathBuf,
    /// Folder that receives `manifest.json`, `tokenizer.json` and the shards.
    pub output_dir: PathBuf,
    /// File that progress events are appended to, one JSON object a line.
    pub progress_file: PathBuf,
    /// Where progress is reported besides; none keeps it in the file alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting: Option<Reporting>,
    /// Worker threads; 0 takes every core.
    #[serde(default)]
    pub threads: usize,
}

/// Job file of `bedplate-trainer`; each rank is started with the same file and its own `--rank`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainerJob {
    /// Whose job this is.
    pub metadata: JobMetadata,
    /// The spec, defaults filled in.
    pub spec: TrainingJobSpec,
    /// Output folders of the Datasets in `spec.data`, in that order.
    pub dataset_dirs: Vec<PathBuf>,
    /// Folder of the model in `spec.model` where it is not a config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_dir: Option<PathBuf>,
    /// Folder that receives `checkpoints/` and, at the end, `model/` in Hugging Face's layout.
    pub output_dir: PathBuf,
    /// File that progress events are appended to by rank 0.
    pub progress_file: PathBuf,
    /// Where progress is reported besides; none keeps it in the file alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting: Option<Reporting>,
    /// Folder for a downloaded model to continue from. Default: `downloads/` in `outputDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<PathBuf>,
    /// `host:port` where rank 0 listens for the other ranks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendezvous: Option<String>,
    /// What every rank of this job knows and nobody else does: ranks that meet prove it to each other. Without it whoever
    /// reaches the rendezvous can join. A secret: it is written nowhere but here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendezvous_token: Option<Secret>,
    /// Threads of each rank; 0 takes every core divided by the ranks on this machine.
    #[serde(default)]
    pub threads: usize,
    /// Bytes of memory each rank may plan for; 0 takes what the machine has.
    #[serde(default)]
    pub memory_limit_bytes: u64,
}

/// Job file of `bedplate-inference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InferenceJob {
    /// Whose job this is.
    pub metadata: JobMetadata,
    /// `file:` uri of a safetensors folder or GGUF file, or an `hf://` uri.
    pub model_uri: String,
    /// Name the endpoint answers to.
    pub served_model_name: String,
    /// Limits of the engine.
    pub engine: EngineArgs,
    /// `host:port` of the HTTP listener; port 0 takes a free one.
    pub http_address: String,
    /// `host:port` of the gRPC listener; none serves no gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_address: Option<String>,
    /// Folder for downloaded models.
    pub cache_dir: PathBuf,
    /// File that progress events are appended to.
    pub progress_file: PathBuf,
    /// Where progress is reported besides; none keeps it in the file alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting: Option<Reporting>,
    /// Threads; 0 takes every core.
    #[serde(default)]
    pub threads: usize,
    /// Bytes of memory for the KV cache; 0 takes a share of what the machine has.
    #[serde(default)]
    pub kv_cache_bytes: u64,
    /// Whether web pages from any origin may use the endpoint (CORS); off unless set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_any_origin: bool,
}
