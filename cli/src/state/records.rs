//! What is known of every resource that a run has touched: `state.json`.
//!
//! Owns the closed lists of phases and reasons. Never owns figures: those are in the progress files.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use bedplate_crds::{GROUP, VERSION, job::exit::ExitCode};
use bedplate_operator::{
    manifest,
    resource::{AnyResource, ResourceKey},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{StateDir, StateError, write_whole};
use crate::process::identity::ProcessIdentity;

/// How far a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for its turn.
    Pending,
    /// Its processes run.
    Running,
    /// Its server answers.
    Ready,
    /// Its artefact is made.
    Succeeded,
    /// It ended without its artefact.
    Failed,
    /// Stopped before its end; the next run goes on from there.
    Stopped,
    /// Left out, because the manifest says so.
    Suspended,
}

/// Why it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// What it waits for is not finished.
    WaitingForDependency,
    /// Other work has the cores.
    WaitingForTurn,
    /// `spec.suspend`, its own or that of what it waits for.
    Suspended,
    /// Its process failed and is started again after a pause.
    Restarting,
    /// Everything was there already.
    UpToDate,
    /// A person or the system stopped the run.
    Interrupted,
    /// The run was over.
    RunEnded,
    /// Something else in the run failed.
    RunFailed,
    /// The run ended without a word, by SIGKILL or power loss.
    RunLost,
    /// Exit code 10.
    Retryable,
    /// Exit code 11.
    InvalidConfig,
    /// Exit code 12.
    OutOfMemory,
    /// Exit code 13.
    PeerLost,
    /// Exit code 14, although nobody here asked for it.
    Preempted,
    /// Exit code 15.
    StorageFailed,
    /// Exit code 16.
    CorruptData,
    /// Killed by a signal.
    Signalled,
    /// An exit code that is not in the table.
    UnknownExitCode,
    /// Exit code 0 without a result.
    NoResult,
    /// Exit code 17.
    DeadlineExceeded,
    /// The process could not be started.
    StartFailed,
}

impl Reason {
    /// The reason for a process' exit code; a signal shows as 128 + its number.
    pub fn of_exit(code: i32) -> Self {
        match ExitCode::from_code(code) {
            Some(ExitCode::Success) => Self::NoResult,
            Some(ExitCode::Retryable) => Self::Retryable,
            Some(ExitCode::InvalidConfig) => Self::InvalidConfig,
            Some(ExitCode::OutOfMemory) => Self::OutOfMemory,
            Some(ExitCode::PeerLost) => Self::PeerLost,
            Some(ExitCode::Preempted) => Self::Preempted,
            Some(ExitCode::StorageFailed) => Self::StorageFailed,
            Some(ExitCode::CorruptData) => Self::CorruptData,
            Some(ExitCode::DeadlineExceeded) => Self::DeadlineExceeded,
            None if code > 128 => Self::Signalled,
            None => Self::UnknownExitCode,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Ready => "Ready",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Suspended => "Suspended",
        };
        f.pad(name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::WaitingForDependency => "WaitingForDependency",
            Self::WaitingForTurn => "WaitingForTurn",
            Self::Suspended => "Suspended",
            Self::Restarting => "Restarting",
            Self::UpToDate => "UpToDate",
            Self::Interrupted => "Interrupted",
            Self::RunEnded => "RunEnded",
            Self::RunFailed => "RunFailed",
            Self::RunLost => "RunLost",
            Self::Retryable => "Retryable",
            Self::InvalidConfig => "InvalidConfig",
            Self::OutOfMemory => "OutOfMemory",
            Self::PeerLost => "PeerLost",
            Self::Preempted => "Preempted",
            Self::StorageFailed => "StorageFailed",
            Self::CorruptData => "CorruptData",
            Self::Signalled => "Signalled",
            Self::UnknownExitCode => "UnknownExitCode",
            Self::NoResult => "NoResult",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::StartFailed => "StartFailed",
        };
        f.pad(name)
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The resource as it was run, defaults filled in.
    pub manifest: Value,
    /// How far it is.
    pub phase: Phase,
    /// Why.
    pub reason: Option<Reason>,
    /// The worker's own sentence about a failure.
    pub message: Option<String>,
    /// The run that touched it last.
    pub run_id: String,
    /// When that run began with it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Times its processes were started by that run.
    pub attempts: u32,
    /// Digest of its artefact.
    pub digest: Option<String>,
    /// Where it answers.
    pub url: Option<String>,
    /// Its progress.
    pub progress_file: PathBuf,
    /// Its logs of that run, one a process.
    pub log_files: Vec<PathBuf>,
    /// Its processes, for whoever has to end them after a crash.
    pub processes: Vec<ProcessIdentity>,
}

impl Record {
    /// Whether others may build on its artefact.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Succeeded
    }

    /// The resource.
    pub fn resource(&self) -> Option<AnyResource> {
        manifest::parse("state.json", &self.manifest.to_string()).ok()?.pop()
    }
}

/// All records by resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Records {
    by_key: BTreeMap<String, Record>,
}

impl Records {
    /// Reads the state folder's records; none where no run has been.
    pub fn read(state: &StateDir) -> Result<Self, StateError> {
        let path = state.records_file();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| StateError::Damaged { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// Writes them back whole.
    pub fn write(&self, state: &StateDir) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(self).expect("records are plain data");
        write_whole(&state.records_file(), &text)
    }

    /// The record of a resource.
    pub fn get(&self, key: &ResourceKey) -> Option<&Record> {
        self.by_key.get(&key.to_string())
    }

    /// Replaces the record of a resource.
    pub fn put(&mut self, key: &ResourceKey, record: Record) {
        self.by_key.insert(key.to_string(), record);
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.by_key.iter().map(|(key, record)| (key.as_str(), record))
    }

    /// All of them, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Record)> {
        self.by_key.iter_mut().map(|(key, record)| (key.as_str(), record))
    }

    /// Resources whose artefacts others may refer to without running them again.
    pub fn finished(&self) -> Vec<AnyResource> {
        self.by_key.values().filter(|record| record.is_finished()).filter_map(Record::resource).collect()
    }
}

/// A resource as a manifest.
pub fn to_manifest(resource: &AnyResource) -> Value {
    let spec = match resource {
        AnyResource::Dataset(dataset) => json!(dataset.spec),
        AnyResource::TrainingJob(job) => json!(job.spec),
        AnyResource::ModelDeployment(deployment) => json!(deployment.spec),
    };
    let metadata = resource.metadata();
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": resource.kind().name(),
        "metadata": metadata,
        "spec": spec,
    })
}

/// The folder a worker writes to: that of its progress file.
pub fn output_dir(record: &Record) -> &Path {
    record.progress_file.parent().unwrap_or(&record.progress_file)
}
