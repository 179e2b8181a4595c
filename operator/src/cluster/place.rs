//! Where things lie inside a pod, and which claims it therefore mounts.
//!
//! Owns the paths of the container and the layout that the pure stages get. A path that no claim backs is refused here: on a
//! laptop `file:///anything` may be there, in a pod it cannot be.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use bedplate_crds::{dataset::Storage, job::Reporting, uri::ShownUri};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Volume, VolumeMount};

use super::{owner::Owner, resources::Resources, settings::ClusterSettings};
use crate::{layout::Layout, violation::Violation};

/// Folder of the job file and of the progress API's authority.
pub const JOB_FOLDER: &str = "/etc/bedplate/job";
/// Key of the job file in its ConfigMap, and its name in that folder.
pub const JOB_FILE: &str = "job.json";
/// Key of the authority in that ConfigMap, and its name in that folder.
pub const CA_FILE: &str = "ca.crt";
/// Folder under which each claim is a folder.
const STORAGE_ROOT: &str = "/var/lib/bedplate/storage";
/// Folder of the claim of the installation below it.
const DEFAULT_FOLDER: &str = "default";
/// Folder of the inputs.
const INPUT_ROOT: &str = "/var/lib/bedplate/inputs";
/// Folder for downloaded models, and for the progress file of a pod that keeps nothing.
pub const CACHE_FOLDER: &str = "/var/cache/bedplate";
/// Folder of the token for the progress API.
pub const TOKEN_FOLDER: &str = "/var/run/secrets/bedplate.dev";
/// Name of the token in it.
pub const TOKEN_FILE: &str = "token";
/// Port of a server's HTTP listener.
pub const HTTP_PORT: u16 = 8000;
/// Port of its gRPC listener.
pub const GRPC_PORT: u16 = 9000;

/// The inside of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the pure stages ask.
    pub layout: Layout,
    storage: BTreeMap<String, Claim>,
    default_claim: String,
    inputs_claim: String,
    mounts_inputs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    name: String,
    is_read_only: bool,
}

impl Place {
    /// A pod of that resource, with no claim yet.
    pub fn new(owner: &Owner, settings: &ClusterSettings, resources: &Resources) -> Self {
        let address = |port| format!("0.0.0.0:{port}");
        let (inputs, storage) = (PathBuf::from(INPUT_ROOT), PathBuf::from(STORAGE_ROOT));
        let mut layout = Layout::new(inputs, storage, PathBuf::from(CACHE_FOLDER), address(HTTP_PORT));
        layout.grpc_address = Some(address(GRPC_PORT));
        layout.threads = resources.threads();
        layout.memory_limit_bytes = resources.memory_limit_bytes();
        layout.kv_cache_bytes = resources.kv_cache_bytes();
        layout.reporting = settings.progress.as_ref().map(|progress| Reporting {
            url: progress.url.clone(),
            ca_file: Path::new(JOB_FOLDER).join(CA_FILE),
            token_file: Path::new(TOKEN_FOLDER).join(TOKEN_FILE),
            kind: owner.kind.name().to_owned(),
            uid: owner.uid.clone(),
        });
        Self {
            layout,
            storage: BTreeMap::new(),
            default_claim: settings.storage.claim.clone(),
            inputs_claim: settings.inputs.claim.clone(),
            mounts_inputs: false,
        }
    }

    /// Mounts the storage that the resource itself writes to.
    pub fn write_to(&mut self, storage: Option<&Storage>) {
        self.mount(storage.map_or(DEFAULT_FOLDER, |storage| &storage.persistent_volume_claim).to_owned(), false);
    }

    /// Mounts the storage of a resource that it refers to.
    pub fn read_from(&mut self, storage: Option<&Storage>) {
        self.mount(storage.map_or(DEFAULT_FOLDER, |storage| &storage.persistent_volume_claim).to_owned(), true);
    }

    /// Mounts what a `file:` uri needs.
    ///
    /// # Errors
    /// When it leads to a place that no claim backs.
    pub fn read_uri(&mut self, field: &str, uri: &str) -> Result<(), Violation> {
        let Some(path) = self.layout.file_path(uri) else { return Ok(()) };
        let is_plain = path.components().all(|part| part != Component::ParentDir);
        if is_plain && path.starts_with(INPUT_ROOT) {
            self.mounts_inputs = true;
            return Ok(());
        }
        let folder = path.strip_prefix(STORAGE_ROOT).ok().and_then(|below| below.components().next());
        match folder {
            Some(Component::Normal(folder)) if is_plain => {
                self.mount(folder.to_string_lossy().into_owned(), true);
                Ok(())
            }
            _ => Err(Violation::Uri {
                field: field.to_owned(),
                uri: ShownUri::new(uri),
                allowed: format!(
                    "file:relative/path (in PersistentVolumeClaim {}), file://{STORAGE_ROOT}/CLAIM/path (in a claim of that \
                     name; {DEFAULT_FOLDER} is {}), or a uri that is no file: a pod sees no other files",
                    self.inputs_claim, self.default_claim
                ),
            }),
        }
    }

    fn mount(&mut self, folder: String, is_read_only: bool) {
        let name = if folder == DEFAULT_FOLDER { self.default_claim.clone() } else { folder.clone() };
        let claim = self.storage.entry(folder).or_insert(Claim { name, is_read_only });
        claim.is_read_only &= is_read_only;
    }

    /// Names of the claims, each once, in the order in which they are mounted.
    pub fn claims(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.storage.values().map(|claim| claim.name.as_str()).collect();
        names.extend(self.mounts_inputs.then_some(self.inputs_claim.as_str()));
        names.dedup();
        names
    }

    /// The claims as volumes of a pod and as mounts of its container.
    pub fn volumes(&self) -> (Vec<Volume>, Vec<VolumeMount>) {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        for (i, (folder, claim)) in self.storage.iter().enumerate() {
            let volume = if i == 0 { "storage".to_owned() } else { format!("storage-{i}") };
            mounts.push(mount(&volume, format!("{STORAGE_ROOT}/{folder}"), claim.is_read_only));
            volumes.push(claim_volume(volume, &claim.name));
        }
        if self.mounts_inputs {
            mounts.push(mount("inputs", INPUT_ROOT.to_owned(), true));
            volumes.push(claim_volume("inputs".to_owned(), &self.inputs_claim));
        }
        (volumes, mounts)
    }
}

fn claim_volume(name: String, claim: &str) -> Volume {
    // Read-only is asked of the mount: a claim that is read-only as a volume cannot be shared with a pod that writes.
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None };
    Volume { name, persistent_volume_claim: Some(source), ..Volume::default() }
}

/// One mount of a container.
pub fn mount(volume: &str, path: String, is_read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path,
        read_only: is_read_only.then_some(true),
        ..VolumeMount::default()
    }
}
