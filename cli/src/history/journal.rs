//! The journal of a state folder: which attempts began, what they consumed, how they ended.
//!
//! Owns `<state_dir>/history/journal.jsonl`, which with the progress files is all that Postgres is filled from: a database
//! that was away, or was never there, is caught up from here. Append-only, one JSON object a line, one write a line, so
//! that several `bedplate run` may share it. Never talks to Postgres.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bedplate_operator::store::ArtefactKind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Longest line that is believed. A job file is a few KiB; what is longer was not written by this program.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or a file in it could not be made or opened.
    #[error("could not open {path} for the history; check that the folder of --state-dir can be written", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line could not be appended.
    #[error("could not append to {path}; is the disk full?", path = path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be read back.
    #[error("could not read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An entry did not serialise.
    #[error("could not write a journal entry as JSON")]
    Encode(#[source] serde_json::Error),
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase")]
pub enum Entry {
    /// An attempt is about to start.
    Begin(Begin),
    /// An attempt consumes an artefact.
    Link(Link),
    /// An attempt is over.
    End(End),
}

/// An attempt is about to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    /// The `bedplate` process that supervises it; its lock tells whether the attempt can still be running.
    pub session: Uuid,
    /// Kind of the resource.
    pub kind: String,
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The spec, as the user wrote it.
    pub spec: Value,
    /// The job file.
    pub job: Value,
    /// Where the workload reports.
    pub progress_file: PathBuf,
    /// Length of that file before the attempt: what comes after is this attempt's, until the next one's begin.
    pub progress_offset: u64,
}

/// An attempt consumes an artefact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Id of the attempt.
    pub attempt: Uuid,
    /// What the artefact is.
    pub artefact: ArtefactKind,
    /// Its content digest, or its uri where nothing better is known.
    pub digest: String,
    /// Where it lies.
    pub uri: String,
    /// When it was consumed.
    pub at: DateTime<Utc>,
}

/// An attempt is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Id of the attempt.
    pub attempt: Uuid,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Exit status of the process; none where it is not known.
    pub exit_code: Option<i32>,
}

/// The open journal of a state folder.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    path: PathBuf,
    origin: Uuid,
}

impl Journal {
    /// Opens, and makes where needed, the journal below a state folder.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let dir = state_dir.join("history");
        let failed = |path: &Path, source| JournalError::Open { path: path.to_path_buf(), source };
        std::fs::create_dir_all(&dir).map_err(|source| failed(&dir, source))?;
        let path = dir.join("journal.jsonl");
        let open = || end_torn_line(&mut OpenOptions::new().create(true).read(true).append(true).open(&path)?);
        open().map_err(|source| failed(&path, source))?;
        let origin_file = dir.join("origin");
        let origin = origin(&origin_file).map_err(|source| failed(&origin_file, source))?;
        Ok(Self { dir, path, origin })
    }

    /// The folder of the journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The id of this state folder: it moves with the folder, and keeps two folders' runs of one name apart.
    pub fn origin(&self) -> Uuid {
        self.origin
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub fn append(&self, entry: &Entry) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(entry).map_err(JournalError::Encode)?;
        line.push(b'\n');
        let append = || OpenOptions::new().append(true).open(&self.path)?.write_all(&line);
        append().map_err(|source| JournalError::Append { path: self.path.clone(), source })
    }

    /// The whole entries from `offset` on, and the offset after them. A line that says nothing is skipped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_from(&self, offset: u64) -> Result<(Vec<Entry>, u64), JournalError> {
        let read = || {
            let mut bytes = Vec::new();
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| JournalError::Read { path: self.path.clone(), source })?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries = lines.filter(|line| line.len() <= MAX_LINE_BYTES).filter_map(|line| {
            serde_json::from_slice(line)
                .inspect_err(|error| tracing::warn!(%error, journal = %self.path.display(), "skipped a journal line"))
                .ok()
        });
        Ok((entries.collect(), offset + whole as u64))
    }
}

/// A crash may have cut the last line short; ended, it spoils nothing but itself.
fn end_torn_line(file: &mut File) -> std::io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8];
    file.read_exact(&mut last)?;
    if last != *b"\n" { file.write_all(b"\n") } else { Ok(()) }
}

/// Reads the id of the folder, or mints one. A hard link decides between two processes that mint at once.
fn origin(path: &Path) -> std::io::Result<Uuid> {
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    if !path.exists() {
        let minted = Uuid::new_v4();
        let own = path.with_extension(minted.to_string());
        std::fs::write(&own, format!("{minted}\n"))?;
        let linked = std::fs::hard_link(&own, path);
        std::fs::remove_file(&own)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    std::fs::read_to_string(path)?.trim().parse().map_err(invalid)
}
