//! Checkpoints: a training state that is on the disk whole or not at all.
//!
//! Owns the folder `checkpoints/`: writing (files -> fsync -> manifest with hashes -> rename -> fsync of the folder),
//! finding the newest whole one, and retention. Never knows what the tensors mean, and keeps nothing that depends on
//! how many processes trained.

mod manifest;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use manifest::{FileEntry, Manifest, TrainerState};

use crate::{
    durable,
    hf_folder::split_by_bytes,
    safetensors_file::{NamedTensor, SafetensorsError, SafetensorsFile, blake3_file, write_safetensors},
};

const MANIFEST_FILE: &str = "manifest.json";
const STEP_PREFIX: &str = "step-";
/// Bytes of tensors in one file: small enough that a file is hashed and sent in seconds, large enough that a 10 B
/// model has tens of files, not thousands.
const MAX_FILE_BYTES: usize = 4 << 30;

/// The moments of a checkpoint's making, in order; between any two of them the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointPhase {
    /// The staging folder is there, empty.
    Started,
    /// The weights are written and flushed.
    WeightsWritten,
    /// The optimiser's state is written and flushed.
    OptimizerWritten,
    /// The manifest is written and flushed; the folder still has its staging name.
    ManifestWritten,
    /// The folder has its final name and the rename is flushed.
    Published,
    /// Older checkpoints are gone.
    Pruned,
}

impl CheckpointPhase {
    /// Every phase, in order.
    pub const ALL: [Self; 6] = [
        Self::Started,
        Self::WeightsWritten,
        Self::OptimizerWritten,
        Self::ManifestWritten,
        Self::Published,
        Self::Pruned,
    ];
}

/// What went wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The folder of checkpoints, or one in it, cannot be written.
    #[error("cannot write checkpoint {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of tensors cannot be written or read.
    #[error(transparent)]
    Tensors(#[from] SafetensorsError),
    /// The folder of checkpoints cannot be listed.
    #[error("cannot list the checkpoints in {}", path.display())]
    List {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are checkpoints and none of them is whole.
    #[error("no checkpoint in {} is whole ({}); restore one from a backup, or remove the folder to begin anew", path.display(), list(rejected))]
    NoneWhole {
        /// Where.
        path: PathBuf,
        /// What was found, newest first.
        rejected: Vec<Rejected>,
    },
    /// A tensor that the model needs is in none of the files, or has another shape.
    #[error("checkpoint {} holds no tensor {name} of shape {shape:?}", path.display())]
    Tensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape the model needs.
        shape: Vec<usize>,
    },
}

/// A checkpoint that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

fn list(rejected: &[Rejected]) -> String {
    let one = |rejected: &Rejected| {
        let name = rejected.path.file_name().unwrap_or_default();
        format!("{}: {}", name.to_string_lossy(), rejected.reason)
    };
    rejected.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A whole checkpoint on the disk.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// Digest of its content: equal for equal state.
    pub digest: String,
    /// Size of its files in bytes.
    pub bytes: u64,
}

/// The newest whole checkpoint, and the newer ones that were passed over.
#[derive(Debug, Default)]
pub struct Found {
    /// The checkpoint to resume from; none in an empty folder.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that fail their hashes, newest first; worth a warning each.
    pub rejected: Vec<Rejected>,
}

/// The tensors of a checkpoint, in two groups.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointTensors<'slice, 'data> {
    /// The model's weights.
    pub weights: &'slice [NamedTensor<'data>],
    /// The optimiser's state.
    pub optimizer: &'slice [NamedTensor<'data>],
}

/// The folder of one job's checkpoints; one process writes it.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    dir: PathBuf,
    keep: usize,
}

impl CheckpointStore {
    /// A store in `dir` that keeps the newest `keep` (at least one) checkpoints.
    pub fn new(dir: &Path, keep: usize) -> Self {
        Self { dir: dir.to_owned(), keep: keep.max(1) }
    }

    /// Writes a checkpoint and returns once it is durable; `observe` is called after each phase. A failed one leaves
    /// nothing behind, so that a full disk is not kept full by half a checkpoint.
    pub fn write(
        &self,
        state: &TrainerState,
        tensors: CheckpointTensors<'_, '_>,
        observe: &mut dyn FnMut(CheckpointPhase),
    ) -> Result<Checkpoint, CheckpointError> {
        let target = self.dir.join(format!("{STEP_PREFIX}{:010}", state.step));
        let written = self.write_to(&target, state, tensors, observe);
        if written.is_err() {
            // The error at hand is the one to report; what cannot be removed now goes with the next checkpoint.
            let _ = durable::remove_dir_if_there(&durable::staging_path(&target));
        }
        written
    }

    fn write_to(
        &self,
        target: &Path,
        state: &TrainerState,
        tensors: CheckpointTensors<'_, '_>,
        observe: &mut dyn FnMut(CheckpointPhase),
    ) -> Result<Checkpoint, CheckpointError> {
        let failed = |source| CheckpointError::Write { path: target.to_owned(), source };
        let staging = durable::staging_path(target);
        durable::fresh_dir(&staging).map_err(failed)?;
        self.remove_interrupted(Some(&staging)).map_err(failed)?;
        observe(CheckpointPhase::Started);

        let mut files = write_group(&staging, "model", tensors.weights)?;
        observe(CheckpointPhase::WeightsWritten);
        files.extend(write_group(&staging, "optimizer", tensors.optimizer)?);
        observe(CheckpointPhase::OptimizerWritten);

        let manifest = Manifest::new(state.clone(), files);
        durable::write_file(&staging.join(MANIFEST_FILE), &manifest.to_json()).map_err(failed)?;
        observe(CheckpointPhase::ManifestWritten);

        durable::publish_dir(&staging, target).map_err(failed)?;
        observe(CheckpointPhase::Published);
        self.prune(state.step).map_err(failed)?;
        observe(CheckpointPhase::Pruned);

        let (digest, bytes) = (manifest.digest(), manifest.bytes());
        Ok(Checkpoint { path: target.to_owned(), manifest, digest, bytes })
    }

    /// The newest checkpoint all of whose files match their hashes.
    ///
    /// Errors: there are checkpoints and none is whole, or the folder cannot be listed.
    pub fn newest_whole(&self) -> Result<Found, CheckpointError> {
        let listed = self.steps().map_err(|source| CheckpointError::List { path: self.dir.clone(), source })?;
        let mut rejected = Vec::new();
        for (_, path) in listed {
            match verify(&path) {
                Ok(checkpoint) => return Ok(Found { checkpoint: Some(checkpoint), rejected }),
                Err(reason) => rejected.push(Rejected { path, reason }),
            }
        }
        if rejected.is_empty() {
            return Ok(Found::default());
        }
        Err(CheckpointError::NoneWhole { path: self.dir.clone(), rejected })
    }

    /// Step and folder of every published checkpoint, newest first.
    fn steps(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix(STEP_PREFIX)).and_then(|step| step.parse().ok());
            if let Some(step) = step {
                steps.push((step, entry.path()));
            }
        }
        steps.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
        Ok(steps)
    }

    /// Removes what `newest`, just published, makes superfluous: older checkpoints beyond the bound, and damaged ones of
    /// a later step (training resumed before them).
    fn prune(&self, newest: u64) -> io::Result<()> {
        let (later, kept): (Vec<_>, Vec<_>) = self.steps()?.into_iter().partition(|(step, _)| *step > newest);
        for (_, path) in later.into_iter().chain(kept.into_iter().skip(self.keep)) {
            durable::remove_dir_if_there(&path)?;
        }
        self.remove_interrupted(None)
    }

    /// Removes what interrupted attempts left, all but `current`.
    fn remove_interrupted(&self, current: Option<&Path>) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let is_left = entry.file_name().to_str().is_some_and(|name| name.starts_with(&format!(".{STEP_PREFIX}")));
            if is_left && current != Some(entry.path().as_path()) {
                durable::remove_dir_if_there(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn write_group(dir: &Path, group: &str, tensors: &[NamedTensor<'_>]) -> Result<Vec<FileEntry>, CheckpointError> {
    let runs = split_by_bytes(tensors, MAX_FILE_BYTES);
    let mut files = Vec::with_capacity(runs.len());
    for (number, run) in runs.iter().enumerate() {
        let file = format!("{group}-{:05}-of-{:05}.safetensors", number + 1, runs.len());
        let written = write_safetensors(&dir.join(&file), run)?;
        files.push(FileEntry { file, bytes: written.bytes, blake3: written.blake3 });
    }
    Ok(files)
}

/// Checks every file of a checkpoint against the manifest; the error says which one is wrong, and how.
fn verify(path: &Path) -> Result<Checkpoint, String> {
    let bytes = fs::read(path.join(MANIFEST_FILE)).map_err(|error| format!("manifest.json: {error}"))?;
    let manifest = Manifest::from_json(&bytes)?;
    for entry in &manifest.files {
        let file = path.join(&entry.file);
        let found = fs::metadata(&file).map_err(|error| format!("{}: {error}", entry.file))?.len();
        if found != entry.bytes {
            return Err(format!("{} has {found} bytes instead of {}", entry.file, entry.bytes));
        }
        if blake3_file(&file).map_err(|error| format!("{}: {error}", entry.file))? != entry.blake3 {
            return Err(format!("{} does not match its hash", entry.file));
        }
    }
    let (digest, bytes) = (manifest.digest(), manifest.bytes());
    Ok(Checkpoint { path: path.to_owned(), manifest, digest, bytes })
}

/// The tensors of a whole checkpoint, read one at a time.
#[derive(Debug)]
pub struct CheckpointReader {
    path: PathBuf,
    files: Vec<SafetensorsFile>,
}

impl CheckpointReader {
    /// Opens the files of a checkpoint that [`CheckpointStore::newest_whole`] found whole.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let open = |entry: &FileEntry| SafetensorsFile::open(&checkpoint.path.join(&entry.file));
        let files = checkpoint.manifest.files.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { path: checkpoint.path.clone(), files })
    }

    /// Reads a tensor of the given shape into `out`, row-major.
    pub fn read_f32(&mut self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        match self.files.iter_mut().find(|file| file.shape(name) == Some(shape)) {
            Some(file) => Ok(file.read_f32(name, out)?),
            None => {
                Err(CheckpointError::Tensor { path: self.path.clone(), name: name.to_owned(), shape: shape.to_vec() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
