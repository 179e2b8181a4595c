//! The state folder: where everything of the runs lies, and the lock that lets one run at a time into it.
//!
//! Owns the paths below `.bedplate/`. Never owns what is in the artefacts: the workers do.

pub mod leftovers;
pub mod records;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bedplate_operator::resource::{Kind, ResourceKey};

/// Runs whose reports and logs are kept; a person who looks further back has the history store.
const RUNS_KEPT: usize = 50;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made.
    #[error("could not make the state folder {path}; choose another one with --state-dir", path = path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another run is in it.
    #[error(
        "another `bedplate run` (process {pid}) works in {path}; wait until it ends, stop it, or choose another folder with --state-dir",
        path = path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process id of the other run, or `unknown`.
        pid: String,
    },
    /// The lock cannot be taken.
    #[error("could not lock {path}; is it on a file system with locks? choose another folder with --state-dir", path = path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file in it cannot be read.
    #[error("could not read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file in it cannot be written.
    #[error("could not write {path}; is the disk full?", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its records are damaged.
    #[error("{path} is damaged; move it away, the artefacts stay where they are", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// Holds the state folder until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// The state folder.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The folder, which need not be there yet.
    pub fn at(path: &Path) -> Result<Self, StateError> {
        let root = std::path::absolute(path).map_err(|source| StateError::Read { path: path.to_path_buf(), source })?;
        Ok(Self { root })
    }

    /// Makes the folder. Git is told to keep out of it.
    pub fn create(&self) -> Result<(), StateError> {
        let create = |path: &Path| {
            std::fs::create_dir_all(path).map_err(|source| StateError::Create { path: path.to_path_buf(), source })
        };
        create(&self.root)?;
        create(&self.jobs())?;
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(|source| StateError::Create { path: self.root.clone(), source })?;
        }
        Ok(())
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Artefacts, one folder a volume.
    pub fn storage(&self) -> PathBuf {
        self.root.join("storage")
    }

    /// Downloaded models.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Job file of a resource.
    pub fn job_file(&self, key: &ResourceKey) -> PathBuf {
        self.jobs().join(format!("{}.json", file_stem(key)))
    }

    /// Records of all resources.
    pub fn records_file(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Folder of a run's report.
    pub fn run_dir(&self, run_id: &str) -> PathBuf {
        self.root.join("runs").join(run_id)
    }

    /// Folder of a run's logs.
    pub fn logs_dir(&self, run_id: &str) -> PathBuf {
        self.root.join("logs").join(run_id)
    }

    /// Log of one process.
    pub fn log_file(&self, run_id: &str, key: &ResourceKey, rank: u32, ranks: u32) -> PathBuf {
        let rank = if ranks > 1 { format!("-rank{rank}") } else { String::new() };
        self.logs_dir(run_id).join(format!("{}{rank}.log", file_stem(key)))
    }

    /// The newest report.
    pub fn latest_report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Makes the folders of a new run, and removes those of runs too long ago.
    pub fn begin_run(&self, run_id: &str) -> Result<(), StateError> {
        for folder in [self.run_dir(run_id), self.logs_dir(run_id)] {
            std::fs::create_dir_all(&folder).map_err(|source| StateError::Create { path: folder.clone(), source })?;
            prune(folder.parent().expect("a run's folder lies in another one"));
        }
        Ok(())
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another run holds it.
    pub fn lock(&self) -> Result<RunLock, StateError> {
        let path = self.lock_path();
        let failed = |source| StateError::Lock { path: path.clone(), source };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
                return Err(StateError::InUse { path: self.root.clone(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(StateError::Lock { path, source }),
        }
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(RunLock { _file: file })
    }

    /// Whether a run holds the folder right now.
    pub fn is_in_use(&self) -> bool {
        let Ok(file) = File::open(self.lock_path()) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// `training-job-default-tiny`: unique, since a namespace and a name that are put together differ by their kind's prefix
/// and by the dot between them, which neither may hold.
pub fn file_stem(key: &ResourceKey) -> String {
    let kind = match key.kind {
        Kind::Dataset => "dataset",
        Kind::TrainingJob => "training-job",
        Kind::ModelDeployment => "model-deployment",
    };
    format!("{kind}.{}.{}", key.namespace, key.name)
}

/// Writes a file so that a reader sees the old content or the new one, never a part.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let beside = path.with_extension("part");
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| StateError::Write { path: path.to_path_buf(), source })
}

/// As [`write_whole`], for a file with secrets: nobody but the owner may read it.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let beside = path.with_extension("part");
    let write = || {
        // One that an interrupted run left may be readable by others.
        let _ = std::fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|source| StateError::Write { path: path.to_path_buf(), source })
}

/// Removes the oldest folders; their names begin with the time. One that cannot be removed stays: it harms nothing.
fn prune(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut runs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    runs.sort();
    let surplus = runs.len().saturating_sub(RUNS_KEPT);
    for run in &runs[..surplus] {
        let _ = std::fs::remove_dir_all(run);
    }
}
