//! The history of what ran under a state folder: kept in a journal first, in Postgres as soon as it can.
//!
//! Owns `<state_dir>/history` and, where no DATABASE_URL is given, the private Postgres under `<state_dir>/postgres`. Whoever
//! runs something appends to the journal and never waits for a database; a recorder in the background carries journal and
//! progress files over, now or when Postgres is back, or at the next start. Never decides what runs, and never stops it.

pub mod commands;
mod journal;
mod lineage_view;
mod place;
mod recorder;
mod runs_view;
mod session;
mod sync;
mod tail;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bedplate_operator::{
    resource::{Kind, ResourceKey},
    store::{NewAttempt as StoredAttempt, RunKey, StoreError, local_server::LocalServerError},
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

pub use bedplate_operator::store::ArtefactKind;
pub use journal::JournalError;

use journal::{Begin, End, Entry, Journal, Link};
use place::Place;
use session::Session;

/// Longest wait at the end for Postgres to take the rest: making a first cluster on a busy disk takes most of it. What is not
/// taken by then is taken at the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the history could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Postgres cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no private Postgres.
    #[error(transparent)]
    LocalServer(#[from] LocalServerError),
    /// A job without a progress file says nothing.
    #[error("the job file of {name} names no progressFile, so nothing of it can be recorded")]
    NoProgressFile {
        /// Name of the resource.
        name: String,
    },
    /// A progress file could not be read.
    #[error("could not read the progress file {path}", path = path.display())]
    ReadProgress {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server accepts connections but does not answer.
    #[error("Postgres did not answer within {seconds} s")]
    Stuck {
        /// How long it was given.
        seconds: u64,
    },
    /// Nothing was ever run here.
    #[error("there is no history in {path}; start something with `bedplate run`, or name its folder with --state-dir", path = path.display())]
    NothingHere {
        /// The state folder.
        path: PathBuf,
    },
    /// Nothing of that name.
    #[error("there is no {what} {wanted:?} in the history; `bedplate runs` lists what there is")]
    NotFound {
        /// `run` or `run or digest`.
        what: &'static str,
        /// What was asked for.
        wanted: String,
    },
    /// The answer could not be printed.
    #[error("could not write the answer")]
    Print(#[source] std::io::Error),
}

/// An attempt that begins.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Kind of the resource.
    pub kind: Kind,
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// The spec, as the user wrote it.
    pub spec: Value,
    /// The job file; its `progressFile` is followed.
    pub job: Value,
    /// When it begins.
    pub started_at: DateTime<Utc>,
}

/// An attempt that has begun.
#[derive(Clone, Debug)]
pub struct Attempt {
    id: Uuid,
}

/// An attempt consumes an artefact.
#[derive(Clone, Debug)]
pub struct LineageEdge {
    /// The attempt.
    pub attempt: Attempt,
    /// What the artefact is.
    pub artefact: ArtefactKind,
    /// Its content digest, or its uri where nothing better is known.
    pub digest: String,
    /// Where it lies: a uri, or an absolute path.
    pub uri: String,
}

/// The open history of a state folder.
#[derive(Debug)]
pub struct History {
    journal: Journal,
    session: Session,
    recorder: recorder::Handle,
}

impl History {
    /// Opens the journal and starts the recorder, which reaches Postgres in its own time. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// When the url is not one of Postgres, or the state folder cannot be written.
    pub fn open(state_dir: &Path, database_url: Option<&str>) -> Result<Self, HistoryError> {
        let place = Place::new(state_dir, database_url)?;
        let journal = Journal::open(state_dir)?;
        let session = Session::open(journal.dir())?;
        let recorder = recorder::start(journal.clone(), session.id(), place);
        Ok(Self { journal, session, recorder })
    }

    /// Notes that an attempt begins. To be called before its process starts: what the progress file holds by then is not its own.
    ///
    /// # Errors
    /// When the journal cannot be written, or the job names no progress file.
    pub fn begin_attempt(&self, run: &NewAttempt) -> Result<Attempt, HistoryError> {
        let NewAttempt { kind, namespace, name, spec, job, started_at } = run;
        let progress_file = job.get("progressFile").and_then(Value::as_str).map(PathBuf::from);
        let progress_file = progress_file.ok_or_else(|| HistoryError::NoProgressFile { name: name.clone() })?;
        let begin = Begin {
            session: self.session.id(),
            kind: kind.name().to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            started_at: *started_at,
            spec: spec.clone(),
            job: job.clone(),
            progress_offset: std::fs::metadata(&progress_file).map_or(0, |file| file.len()),
            progress_file,
        };
        let id = stored(&begin, *kind, &self.journal).id();
        self.note(&Entry::Begin(begin))?;
        Ok(Attempt { id })
    }

    /// Notes that the process of an attempt is gone.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn end_attempt(&self, attempt: &Attempt, exit: Option<i32>) -> Result<(), HistoryError> {
        self.note(&Entry::End(End { attempt: attempt.id, ended_at: Utc::now(), exit_code: exit }))
    }

    /// Notes that an attempt consumes an artefact. What it produces is taken from its progress.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn link(&self, edge: &LineageEdge) -> Result<(), HistoryError> {
        let LineageEdge { attempt, artefact, digest, uri } = edge;
        let uri = if uri.starts_with('/') { format!("file://{uri}") } else { uri.clone() };
        let digest = digest.clone();
        self.note(&Entry::Link(Link { attempt: attempt.id, artefact: *artefact, digest, uri, at: Utc::now() }))
    }

    /// Lets the recorder finish, within a bound, and stops a private Postgres that nobody else uses.
    ///
    /// Says in one sentence what is not in Postgres yet, if anything is not.
    pub async fn close(self) -> Option<String> {
        let Self { journal, session, recorder } = self;
        let why = match timeout(CLOSE_TIMEOUT, recorder.finish()).await {
            Ok(why) => why,
            Err(_) => Some(format!("Postgres did not take it within {} s", CLOSE_TIMEOUT.as_secs())),
        };
        drop(session);
        why.map(|why| {
            format!("the history waits in {} and is recorded with the next run: {why}", journal.dir().display())
        })
    }

    fn note(&self, entry: &Entry) -> Result<(), HistoryError> {
        self.journal.append(entry)?;
        self.recorder.wake();
        Ok(())
    }
}

/// What the store is told of an attempt.
fn stored(begin: &Begin, kind: Kind, journal: &Journal) -> StoredAttempt {
    let Begin { session: _, kind: _, namespace, name, started_at, spec, job, progress_file: _, progress_offset } =
        begin;
    let resource = ResourceKey { kind, namespace: namespace.clone(), name: name.clone() };
    StoredAttempt {
        run: RunKey { origin: journal.origin().to_string(), resource },
        started_at: *started_at,
        spec: spec.clone(),
        job: job.clone(),
        progress_file: String::new(),
        progress_offset: *progress_offset,
    }
}
