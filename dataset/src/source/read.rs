//! Turns files into batches of documents, in order, with bounded memory.
//!
//! Owns how each format holds documents and what is too large to be one. Never judges a text.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

use bedplate_crds::dataset::{Source, SourceFormat};

use super::{InputFile, Place, SourceError, decompress, jsonl, parquet_file};
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
const BUFFER: usize = 256 << 10;

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
        /// Why, for people.
        reason: &'static str,
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
    for (index, file) in files.iter().enumerate() {
        let hash = match read_file(file, &sources[file.source], spool, progress, &mut batches) {
            Ok(hash) => hash,
            Err(End::Closed) => return Ok(()),
            Err(End::Error(error)) => return Err(error),
        };
        match batches.push(Item::FileEnd { index, hash }) {
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
    let mut raw = file.open()?;
    drain(&mut raw, blake3::Hasher::new()).map_err(|source| file.read_error(source))
}

/// Why reading ended before the end of the files.
enum End {
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

struct Batcher<'a> {
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

    fn text(&mut self, origin: String, text: Vec<u8>) -> Result<(), End> {
        let bytes = text.len();
        match bytes {
            0 => self.push(Item::Skipped { origin, bytes: 0, reason: "it is empty" }),
            _ if bytes > MAX_DOCUMENT_BYTES => self.too_large(origin, bytes as u64),
            _ => self.push(Item::Document(Document { origin, text })),
        }
    }

    fn too_large(&mut self, origin: String, bytes: u64) -> Result<(), End> {
        tracing::warn!(origin, bytes, limit = MAX_DOCUMENT_BYTES, "skipped a document larger than the limit");
        self.push(Item::Skipped { origin, bytes, reason: "it is larger than 16 MiB" })
    }
}

fn read_file(
    file: &InputFile,
    source: &Source,
    spool: &Path,
    progress: &AtomicU64,
    batches: &mut Batcher<'_>,
) -> Result<FileHash, End> {
    if source.format == SourceFormat::Parquet {
        return read_parquet(file, source, spool, progress, batches);
    }
    let failed = |error| file.read_error(error);
    let mut raw = file.open()?;
    let mut hasher = blake3::Hasher::new();
    let tap = Tap { raw: &mut raw, hasher: &mut hasher, progress };
    let plain = BufReader::with_capacity(BUFFER, decompress::plain(tap).map_err(failed)?);
    match source.format {
        SourceFormat::Text => read_text(file, plain, batches)?,
        SourceFormat::Jsonl => read_jsonl(file, source, plain, batches)?,
        SourceFormat::Parquet => unreachable!("parquet files were read above"),
    }
    Ok(drain(&mut raw, hasher).map_err(failed)?)
}

fn read_text(file: &InputFile, mut plain: impl Read, batches: &mut Batcher<'_>) -> Result<(), End> {
    let mut text = Vec::new();
    let failed = |error| file.read_error(error);
    plain.by_ref().take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() <= MAX_DOCUMENT_BYTES {
        text.shrink_to_fit();
        return batches.text(file.path.clone(), text);
    }
    let rest = io::copy(&mut plain, &mut io::sink()).map_err(failed)?;
    batches.too_large(file.path.clone(), text.len() as u64 + rest)
}

fn read_jsonl(
    file: &InputFile,
    source: &Source,
    mut plain: impl BufRead,
    batches: &mut Batcher<'_>,
) -> Result<(), End> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        let origin = || format!("{} line {number}", file.path);
        match jsonl::next_line(&mut plain, &mut line, MAX_LINE_BYTES).map_err(|error| file.read_error(error))? {
            jsonl::Line::End => break,
            jsonl::Line::TooLong { bytes } => batches.too_large(origin(), bytes)?,
            jsonl::Line::Whole if line.trim_ascii().is_empty() => {}
            jsonl::Line::Whole => {
                let broken = |reason| SourceError::BrokenLine { file: file.path.clone(), line: number, reason };
                let text = jsonl::text(&line, &source.text_field).map_err(broken)?;
                batches.text(origin(), text.into_bytes())?;
            }
        }
    }
    Ok(())
}

fn read_parquet(
    file: &InputFile,
    source: &Source,
    spool: &Path,
    progress: &AtomicU64,
    batches: &mut Batcher<'_>,
) -> Result<FileHash, End> {
    let mut raw = file.open()?;
    let failed = |error| file.read_error(error);
    let mut hasher = blake3::Hasher::new();
    let mut tap = Tap { raw: &mut raw, hasher: &mut hasher, progress };
    let local = match &file.place {
        Place::Local(path) => {
            io::copy(&mut tap, &mut io::sink()).map_err(failed)?;
            File::open(path).map_err(failed)?
        }
        // The directory of a parquet file is at its end, so it must be here before its first row can be read.
        Place::Remote(_) => spooled(file, &mut tap, spool)?,
    };
    let rows = parquet_file::rows(local, &source.text_field, |number, text| {
        batches.text(format!("{} row {number}", file.path), text.to_vec())
    });
    match rows {
        Ok(()) => Ok(hasher.finalize().to_hex().to_string()),
        Err(parquet_file::RowError::Caller(end)) => Err(end),
        Err(parquet_file::RowError::File(reason)) => {
            Err(SourceError::Parquet { file: file.path.clone(), reason }.into())
        }
    }
}

/// A nameless copy of `reader` in the folder `spool`; the system removes it when it is closed.
fn spooled(file: &InputFile, reader: &mut impl Read, spool: &Path) -> Result<File, SourceError> {
    let failed = |source| SourceError::Spool { file: file.path.clone(), source };
    let mut copy = tempfile::tempfile_in(spool).map_err(failed)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer).map_err(|error| file.read_error(error))? {
            0 => break,
            count => io::Write::write_all(&mut copy, &buffer[..count]).map_err(failed)?,
        }
    }
    copy.rewind().map_err(failed)?;
    Ok(copy)
}

/// Passes bytes on, and tells the hash and the progress of them.
struct Tap<'a, R> {
    raw: R,
    hasher: &'a mut blake3::Hasher,
    progress: &'a AtomicU64,
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(out)?;
        self.hasher.update(&out[..count]);
        self.progress.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Hash of what `hasher` has seen and of what is left in `raw`.
fn drain(raw: &mut impl Read, mut hasher: blake3::Hasher) -> io::Result<FileHash> {
    io::copy(&mut BufReader::with_capacity(BUFFER, raw), &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}
