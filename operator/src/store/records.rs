//! What is written: values as the caller knows them, before they become rows. Never a row as it is read.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::resource::ResourceKey;

/// Which resource, and whose name it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKey {
    /// Who may use the name again: the id of a state folder (`bedplate run`) or the uid of the resource (Kubernetes).
    pub origin: String,
    /// Kind, namespace and name.
    pub resource: ResourceKey,
}

/// An attempt that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAttempt {
    /// What it works on.
    pub run: RunKey,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The spec as it was for this attempt.
    pub spec: Value,
    /// The job file handed to the process.
    pub job: Value,
    /// Which of the run's progress files its events are in; empty where there is but one.
    pub progress_file: String,
    /// Length of the progress file before it: bytes on a laptop, lines where it came over the progress API.
    pub progress_offset: u64,
}

impl NewAttempt {
    /// The id that follows from run and start.
    pub fn id(&self) -> Uuid {
        super::ids::attempt_id(super::ids::run_id(&self.run), self.started_at)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its process was seen to end.
    Ended {
        /// When.
        at: DateTime<Utc>,
        /// Exit status, where it is known.
        exit_code: Option<i32>,
    },
    /// Whoever supervised it went away; the last sign of life stands for its end.
    Lost,
}

/// How far an attempt is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptPosition {
    /// The attempt.
    pub id: Uuid,
    /// Bytes of the progress file that are stored.
    pub progress_offset: u64,
    /// Whether its end is stored.
    pub ended: bool,
}

/// The newest attempt in a progress file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// The attempt.
    pub id: Uuid,
    /// How far the file is stored, over all of its attempts.
    pub progress_offset: u64,
    /// Whether its end is stored.
    pub ended: bool,
}

/// Whether an attempt consumed or produced an artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// It consumed it.
    Input,
    /// It produced it.
    Output,
}

impl Direction {
    /// The word in the table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// What an artefact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ArtefactKind {
    /// The token shards of a Dataset.
    Dataset,
    /// A checkpoint of a TrainingJob.
    Checkpoint,
    /// A model from elsewhere.
    Model,
}

impl ArtefactKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Dataset, Self::Checkpoint, Self::Model];

    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dataset => "Dataset",
            Self::Checkpoint => "Checkpoint",
            Self::Model => "Model",
        }
    }
}

impl fmt::Display for ArtefactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Something that was made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// What it is.
    pub kind: ArtefactKind,
    /// Content digest; the uri itself where nobody hashed the content.
    pub digest: String,
    /// Where it lies, where that is known.
    pub uri: Option<String>,
    /// Its size, where that is known.
    pub size_bytes: Option<u64>,
}
