//! Where things lie: inputs, artefacts, caches and listeners.
//!
//! Owns the folder names below the storage root, so that whoever writes an artefact and whoever reads it agree. Never
//! touches the disk: every root is passed in.

use std::path::{Path, PathBuf};

use bedplate_crds::{
    dataset::Storage,
    job::{DATASETS_FOLDER, Reporting, TRAINING_JOBS_FOLDER, secret::Secret},
};

use crate::resource::{Kind, Metadata};

/// Folder below the storage root for resources that name no `storage`.
const DEFAULT_VOLUME: &str = "default";
/// Progress events of a resource, beside its artefacts.
const PROGRESS_FILE: &str = "progress.jsonl";
/// Where a TrainingJob leaves its final model, in Hugging Face's layout.
const MODEL_FOLDER: &str = "model";

/// Roots, addresses and limits of the place where the jobs run. Every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Folder that relative `file:` uris start from.
    pub input_root: PathBuf,
    /// Folder under which each volume is a folder.
    pub storage_root: PathBuf,
    /// Folder for downloaded models.
    pub cache_dir: PathBuf,
    /// `host:port` of the HTTP listener of a ModelDeployment.
    pub http_address: String,
    /// `host:port` of its gRPC listener, if any.
    pub grpc_address: Option<String>,
    /// `host:port` where rank 0 of a TrainingJob listens; needed with two ranks or more.
    pub rendezvous: Option<String>,
    /// What the ranks of the TrainingJob prove to each other there; none where whoever starts them adds it.
    pub rendezvous_token: Option<Secret>,
    /// Threads of each process; 0 takes every core.
    pub threads: usize,
    /// Bytes each rank of a TrainingJob may plan for; 0 takes what the machine has.
    pub memory_limit_bytes: u64,
    /// Bytes of the KV cache; 0 takes a share of what the machine has.
    pub kv_cache_bytes: u64,
    /// Where the processes report their progress besides the file; none on a laptop.
    pub reporting: Option<Reporting>,
}

impl Layout {
    /// A layout with every limit at "what the machine has", no gRPC, no rendezvous and no reporting.
    pub fn new(input_root: PathBuf, storage_root: PathBuf, cache_dir: PathBuf, http_address: String) -> Self {
        Self {
            input_root,
            storage_root,
            cache_dir,
            http_address,
            grpc_address: None,
            rendezvous: None,
            rendezvous_token: None,
            threads: 0,
            memory_limit_bytes: 0,
            kv_cache_bytes: 0,
            reporting: None,
        }
    }

    /// Folder of a resource's artefacts: `<storage>/<volume>/<kind>/<namespace>/<name>`.
    pub fn output_dir(&self, kind: Kind, metadata: &Metadata, storage: Option<&Storage>) -> PathBuf {
        let volume = storage.map_or(DEFAULT_VOLUME, |storage| storage.persistent_volume_claim.as_str());
        let folder = match kind {
            Kind::Dataset => DATASETS_FOLDER,
            Kind::TrainingJob => TRAINING_JOBS_FOLDER,
            Kind::ModelDeployment => "model-deployments",
        };
        self.storage_root.join(volume).join(folder).join(&metadata.namespace).join(&metadata.name)
    }

    /// The `file:` uri with its path made absolute; any other uri as it is.
    pub fn absolute_uri(&self, uri: &str) -> String {
        match self.file_path(uri) {
            Some(path) => format!("file://{}", path.display()),
            None => uri.to_owned(),
        }
    }

    /// The absolute path of a `file:` uri; none for every other scheme.
    pub fn file_path(&self, uri: &str) -> Option<PathBuf> {
        let path = uri.strip_prefix("file:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(self.input_root.join(path))
    }
}

/// The progress file in a resource's folder.
pub fn progress_file(output_dir: &Path) -> PathBuf {
    output_dir.join(PROGRESS_FILE)
}

/// The final model in a TrainingJob's folder.
pub fn model_dir(output_dir: &Path) -> PathBuf {
    output_dir.join(MODEL_FOLDER)
}
