//! Turns files into batches of documents, in order, with bounded memory.
//!
//! Owns the batches and what is too large to be a document. Never judges a text.

use std::{
    path::Path,
    sync::{atomic::AtomicU64, mpsc::SyncSender},
};

use bedplate_crds::dataset::Source;

use super::{
    InputFile, LeftOut, SourceError,
    format::{self, Reading},
    raw::Raw,
    tolerance::Tolerance,
};
use crate::{
    document::Document,
    stop::{Stop, Stopped},
};

/// Largest document: more than any book, little enough that every thread can hold one. Larger ones are skipped and
/// counted.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Longest line of a jsonl file: a largest document with every second byte escaped.
pub const MAX_LINE_BYTES: usize = 32 << 20;
/// Text of one batch: enough to keep every thread busy, and a few of them fit the memory bound.
const BATCH_BYTES: usize = 4 << 20;
/// Documents of one batch, where they are tiny.
const BATCH_DOCUMENTS: usize = 8192;
/// Bytes read from a file at a time.
pub(super) const BUFFER: usize = 256 << 10;

/// blake3 of a file's raw bytes, hex.
pub type FileHash = String;

/// What a file turned out to hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A document.
    Document(Document),
    /// Something that is no document.
    Skipped {
        /// Where it is.
        origin: String,
        /// Its size.
        bytes: u64,
        /// What it is.
        why: LeftOut,
        /// More about it, for people.
        detail: String,
    },
    /// The end of a file.
    FileEnd {
        /// Its place in the list of files.
        index: usize,
        /// Hash of all of it.
        hash: FileHash,
    },
}

/// Items in reading order.
pub type Batch = Vec<Item>;

/// Reads every file and sends its items; ends early without an error where nobody receives any more.
///
/// # Errors
/// At the first file that cannot be read to its end.
pub fn read_all(
    files: &[InputFile],
    sources: &[Source],
    spool: &Path,
    progress: &AtomicU64,
    (sender, stop): (&SyncSender<Batch>, &Stop),
) -> Result<(), SourceError> {
    let mut batches = Batcher { items: Vec::new(), bytes: 0, sender, stop };
    let mut tolerances: Vec<Tolerance> =
        (0..).zip(sources).map(|(index, source)| Tolerance::of(index, source)).collect();
    for (index, file) in files.iter().enumerate() {
        let (source, tolerance) = (&sources[file.source], &mut tolerances[file.source]);
        let mut reading = Reading { file, source, spool, progress, tolerance, batches: &mut batches };
        let read = format::read(&mut reading).and_then(|hash| batches.push(Item::FileEnd { index, hash }));
        match read {
            Err(End::Closed) => return Ok(()),
            Err(End::Error(error)) => return Err(error),
            Ok(()) => {}
        }
    }
    let _ = batches.flush();
    Ok(())
}

/// Hash of a file's content, without looking for documents.
pub fn content_hash(file: &InputFile) -> Result<FileHash, SourceError> {
    let (hash, _) = Raw::open(file, &AtomicU64::new(0))?.finish().map_err(|source| file.read_error(source))?;
    Ok(hash)
}

/// Why reading ended before the end of the files.
pub(super) enum End {
    /// Nobody receives any more: the receiver knows why.
    Closed,
    Error(SourceError),
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Error(error)
    }
}

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        Self::Error(stopped.into())
    }
}

/// Collects items until they are worth sending.
pub(super) struct Batcher<'a> {
    items: Batch,
    bytes: usize,
    sender: &'a SyncSender<Batch>,
    stop: &'a Stop,
}

impl Batcher<'_> {
    fn push(&mut self, item: Item) -> Result<(), End> {
        if let Item::Document(document) = &item {
            self.bytes += document.text.len();
        }
        self.items.push(item);
        if self.bytes >= BATCH_BYTES || self.items.len() >= BATCH_DOCUMENTS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), End> {
        self.stop.check()?;
        self.bytes = 0;
        self.sender.send(std::mem::take(&mut self.items)).map_err(|_| End::Closed)
    }

    /// A text, if it is one.
    pub(super) fn text(&mut self, origin: String, text: Vec<u8>) -> Result<(), End> {
        let bytes = text.len();
        match bytes {
            0 => self.left_out(origin, 0, LeftOut::Empty, String::new()),
            _ if bytes > MAX_DOCUMENT_BYTES => self.too_large(origin, bytes as u64),
            _ => self.push(Item::Document(Document { origin, text })),
        }
    }

    /// A text of more bytes than a document may have.
    pub(super) fn too_large(&mut self, origin: String, bytes: u64) -> Result<(), End> {
        tracing::warn!(origin, bytes, limit = MAX_DOCUMENT_BYTES, "skipped a document larger than the limit");
        self.left_out(origin, bytes, LeftOut::TooLarge, String::new())
    }

    /// Something that is no document.
    pub(super) fn left_out(&mut self, origin: String, bytes: u64, why: LeftOut, detail: String) -> Result<(), End> {
        self.push(Item::Skipped { origin, bytes, why, detail })
    }
}
