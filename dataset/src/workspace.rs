//! The output folder and, inside it, `.stages`: what finished stages left for the next run.
//!
//! Owns the lock that keeps a second process out, and the names of the folders. `.stages` may be deleted at any time:
//! the next run makes it again. Kept after a run because it is what makes a changed packing or tokenizer cheap; it
//! takes about as much room as the text compressed plus two (beyond 65 536 entries: four) bytes a token.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use crate::record::{RecordError, failed};

/// Name of the folder for what stages keep.
const STAGES: &str = ".stages";

/// Why the output folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// It cannot be made or written.
    #[error("cannot use the output folder; check outputDir in the job file")]
    Prepare(#[source] RecordError),
    /// Somebody else is at work in it.
    #[error("another process is at work in {path}; wait for it or stop it", path = path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
    },
}

/// An output folder that is ours alone.
#[derive(Debug)]
pub struct Workspace {
    output_dir: PathBuf,
    stages: PathBuf,
    _lock: File,
}

impl Workspace {
    /// Makes the folder where it is missing and locks it.
    pub fn open(output_dir: &Path) -> Result<Self, WorkspaceError> {
        let stages = output_dir.join(STAGES);
        let prepare = |path: &Path, error| WorkspaceError::Prepare(failed(path)(error));
        fs::create_dir_all(&stages).map_err(|error| prepare(&stages, error))?;
        let path = stages.join("lock");
        let lock = File::create(&path).map_err(|error| prepare(&path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { output_dir: output_dir.to_owned(), stages, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(WorkspaceError::Lock { path: output_dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(prepare(&path, error)),
        }
    }

    /// Folder that receives the manifest, the tokenizer and the shards.
    pub fn output_dir(&self) -> &Path {
        &self.output_dir
    }

    /// The folder of all stages; files that are only needed for a moment go here.
    pub fn stages(&self) -> &Path {
        &self.stages
    }

    /// Path of a stage's folder or record.
    pub fn path(&self, name: &str) -> PathBuf {
        self.stages.join(name)
    }

    /// An empty folder for the stage `name`; whatever it had before is gone.
    pub fn begin(&self, name: &str) -> Result<PathBuf, RecordError> {
        self.forget(name)?;
        self.folder(name)
    }

    /// The folder `name`, made where it is missing.
    pub fn folder(&self, name: &str) -> Result<PathBuf, RecordError> {
        let path = self.path(name);
        fs::create_dir_all(&path).map_err(failed(&path))?;
        Ok(path)
    }

    /// Removes what the stage `name` kept.
    pub fn forget(&self, name: &str) -> Result<(), RecordError> {
        let path = self.path(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }
}

/// Removes every entry of `folder` that `keeps` does not want, by file name. What cannot be removed stays, with a warning.
pub fn retain(folder: &Path, keeps: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| !keeps(name)) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "could not remove an outdated file");
            }
        }
    }
}
