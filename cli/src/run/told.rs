//! What the run's loop and its tasks tell each other.
//!
//! Owns the words alone. Never sends one.

use std::{path::PathBuf, time::Duration};

use bedplate_crds::job::progress::ProgressEvent;

use crate::{
    process::{SpawnError, identity::ProcessIdentity},
    state::{StateError, records::Reason},
};

/// How urgently the run wants its processes to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// SIGTERM, and SIGKILL after the grace.
    Gracefully,
    /// SIGKILL.
    AtOnce,
}

/// What a task tells while it goes on.
#[derive(Clone, Debug)]
pub enum Update {
    /// Its processes run.
    Started {
        /// Attempts so far, this one included.
        attempt: u32,
        /// The processes.
        processes: Vec<ProcessIdentity>,
    },
    /// Its worker reported.
    Events(Vec<ProgressEvent>),
    /// Its processes have ended.
    AttemptEnded,
    /// Something that stops nothing.
    Warning(String),
    /// It failed and will be tried again.
    Restarting {
        /// Why it failed.
        failure: Failure,
        /// Pause before the next attempt.
        pause: Duration,
        /// Restarts left.
        left: u32,
    },
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its artefact is made.
    Succeeded,
    /// It failed for good.
    Failed(Failure),
    /// The run stopped it.
    Stopped,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub reason: Reason,
    /// For people: the worker's own sentence if it left one.
    pub message: String,
    /// Log of the process that failed.
    pub log: Option<PathBuf>,
}

impl Failure {
    /// A failure that no process' log tells of.
    pub fn new(reason: Reason, message: impl ToString) -> Self {
        Self { reason, message: message.to_string(), log: None }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::new(Reason::StorageFailed, bedplate_telemetry::chain::Chain(&error))
    }
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        Self::new(Reason::StartFailed, bedplate_telemetry::chain::Chain(&error))
    }
}
