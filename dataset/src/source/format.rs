//! How each format holds documents.
//!
//! Owns what becomes of a file that is not what its source says: refused where the source names the file itself, left out
//! and counted where it was found in a folder, and an error where it lies in the place of data.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
    sync::atomic::AtomicU64,
};

use bedplate_crds::dataset::{Source, SourceFormat};

use super::{
    InputFile, LeftOut, Place, SourceError,
    content::{self, Content},
    encoding::UTF8_MARK,
    jsonl,
    kind::Kind,
    parquet_file::{self, RowError},
    peek::Peek,
    raw::Raw,
    read::{BUFFER, Batcher, End, FileHash, MAX_DOCUMENT_BYTES, MAX_LINE_BYTES},
    tolerance::Tolerance,
};

/// How parquet files begin, plain and encrypted.
const PARQUET: [&[u8]; 2] = [b"PAR1", b"PARE"];
/// Ends of names under which parquet is promised.
const PARQUET_NAMES: [&str; 3] = [".parquet", ".parq", ".pq"];

/// One file on its way into batches.
pub(super) struct Reading<'a, 'b> {
    pub file: &'a InputFile,
    pub source: &'a Source,
    pub spool: &'a Path,
    pub progress: &'a AtomicU64,
    pub tolerance: &'b mut Tolerance,
    pub batches: &'b mut Batcher<'a>,
}

/// What kept a file from being read as what it should be.
enum Trouble {
    /// The work ends.
    End(End),
    /// The file is of another kind.
    Foreign(Kind),
    /// The file is not whole.
    Damaged(SourceError),
}

impl From<End> for Trouble {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::End(error.into())
    }
}

/// Reads a file to its end; the hash of all of it.
pub(super) fn read(reading: &mut Reading<'_, '_>) -> Result<FileHash, End> {
    let file = reading.file;
    let mut raw = Raw::open(file, reading.progress)?;
    let outcome = match reading.source.format {
        SourceFormat::Parquet => reading.parquet(&mut raw),
        SourceFormat::Text | SourceFormat::Jsonl => reading.text_or_lines(&mut raw),
    };
    if let Err(Trouble::End(end)) = outcome {
        return Err(end);
    }
    let (hash, bytes) = raw.finish().map_err(|error| file.read_error(error))?;
    match outcome {
        Err(Trouble::Foreign(kind)) => reading.foreign(kind, bytes)?,
        Err(Trouble::Damaged(error)) => reading.error(file.path.clone(), bytes, LeftOut::DamagedFile, error)?,
        Err(Trouble::End(_)) | Ok(()) => {}
    }
    Ok(hash)
}

impl Reading<'_, '_> {
    /// A file of another kind.
    fn foreign(&mut self, kind: Kind, bytes: u64) -> Result<(), End> {
        let (file, why) = (self.file, LeftOut::Foreign(kind));
        let error = || SourceError::Foreign { file: file.path.clone(), kind: kind.phrase(), remedy: kind.remedy() };
        if file.is_named {
            return Err(error().into());
        }
        if kind.stands_for_data() && self.source.format != SourceFormat::Text {
            return self.error(file.path.clone(), bytes, why, error());
        }
        self.batches.left_out(file.path.clone(), bytes, why, String::new())
    }

    /// Something that should have been a document, or documents.
    fn error(&mut self, origin: String, bytes: u64, why: LeftOut, error: SourceError) -> Result<(), End> {
        let detail = self.tolerance.skip(error)?;
        tracing::warn!(origin, detail, "skipped, as onError says");
        self.batches.left_out(origin, bytes, why, detail)
    }

    fn text_or_lines(&mut self, raw: &mut Raw<'_>) -> Result<(), Trouble> {
        let file = self.file;
        let failure = match content::open(&mut *raw, &file.path, self.source) {
            Ok(Content::Foreign(kind)) => return Err(Trouble::Foreign(kind)),
            Ok(Content::Text(plain)) if self.source.format == SourceFormat::Text => self.text(plain),
            Ok(Content::Text(plain)) => self.lines(plain),
            Err(error) => Err(Failure::Read(error)),
        };
        match failure {
            Ok(()) => Ok(()),
            Err(Failure::End(end)) => Err(Trouble::End(end)),
            Err(Failure::Read(error)) if raw.has_failed() => Err(file.read_error(error).into()),
            Err(Failure::Read(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Err(SourceError::Unsupported { file: file.path.clone(), reason: error.to_string() }.into())
            }
            Err(Failure::Read(error)) => Err(Trouble::Damaged(file.read_error(error))),
        }
    }

    fn text(&mut self, mut plain: impl Read) -> Result<(), Failure> {
        let (origin, mut text) = (self.file.path.clone(), Vec::new());
        plain.by_ref().take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut text)?;
        if text.len() > MAX_DOCUMENT_BYTES {
            let rest = io::copy(&mut plain, &mut io::sink())?;
            return Ok(self.batches.too_large(origin, text.len() as u64 + rest)?);
        }
        if text.starts_with(UTF8_MARK) {
            text.drain(..UTF8_MARK.len());
        }
        text.shrink_to_fit();
        Ok(self.batches.text(origin, text)?)
    }

    fn lines(&mut self, mut plain: impl BufRead) -> Result<(), Failure> {
        let (file, mut line) = (self.file, Vec::new());
        for number in 1_u64.. {
            let origin = || format!("{} line {number}", file.path);
            match jsonl::next_line(&mut plain, &mut line, MAX_LINE_BYTES)? {
                jsonl::Line::End => break,
                jsonl::Line::TooLong { bytes } => self.batches.too_large(origin(), bytes)?,
                jsonl::Line::Whole if jsonl::without_marks(&line).trim_ascii().is_empty() => {}
                jsonl::Line::Whole => match jsonl::text(&line, &self.source.text_field) {
                    Ok(text) => self.batches.text(origin(), text)?,
                    Err(jsonl::Broken { reason, remedy }) => {
                        let error = SourceError::BrokenLine { file: file.path.clone(), line: number, reason, remedy };
                        self.error(origin(), line.len() as u64, LeftOut::BrokenLine, error)?;
                    }
                },
            }
        }
        Ok(())
    }

    fn parquet(&mut self, raw: &mut Raw<'_>) -> Result<(), Trouble> {
        let file = self.file;
        let failed = |error| file.read_error(error);
        let mut peek = Peek::new(BufReader::with_capacity(BUFFER, &mut *raw));
        let head = peek.peek(content::HEAD_BYTES);
        if !PARQUET.iter().any(|begin| head.starts_with(begin))
            && let Some(kind) = other_kind(&file.path, head)
        {
            return Err(Trouble::Foreign(kind));
        }
        let local = match &file.place {
            Place::Local(path) => {
                io::copy(&mut peek, &mut io::sink()).map_err(failed)?;
                File::open(path).map_err(failed)?
            }
            // The directory of a parquet file is at its end, so it must be here before its first row can be read.
            Place::Remote(_) => spooled(file, &mut peek, self.spool)?,
        };
        let rows = parquet_file::rows(local, &self.source.text_field, |number, text| {
            self.batches.text(format!("{} row {number}", file.path), text.to_vec())
        });
        let error = |reason, remedy| SourceError::Parquet { file: file.path.clone(), reason, remedy };
        rows.map_err(|trouble| match trouble {
            RowError::Caller(end) => Trouble::End(end),
            RowError::Refused { reason, remedy } => error(reason, remedy).into(),
            RowError::Damaged(reason) => {
                Trouble::Damaged(error(format!("not a whole parquet file ({reason})"), "fetch it again"))
            }
        })
    }
}

/// Why a file could not be read as text.
enum Failure {
    End(End),
    /// The disk, the server, or whoever decodes.
    Read(io::Error),
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What a file is that does not begin as parquet does; none where it can only be a damaged one.
fn other_kind(path: &str, head: &[u8]) -> Option<Kind> {
    let known = Kind::of(head).or_else(|| Kind::of_text(head).filter(|kind| kind.stands_for_data()));
    let is_promised = PARQUET_NAMES.iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    known.or_else(|| (!is_promised).then_some(Kind::NotParquet))
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
