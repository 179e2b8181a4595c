//! Cleaned documents on disk: files of zstd-compressed records, each a digest, a length and a text.
//!
//! Files are cut by a fixed amount of text, so that the same documents always lie in the same files.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::Segment;
use crate::{
    document::ContentDigest,
    sealed::{self, SealedError, SealedWriter},
};

/// Text in one file: the grain in which tokenising resumes, and what a thread may have to read twice.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Fastest level: the text is read back a few times and thrown away.
const COMPRESSION_LEVEL: i32 = 1;

/// What was written.
pub struct Stored {
    /// The files, in order.
    pub segments: Vec<Segment>,
    /// Documents in all of them.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// blake3 over the digest of every document in order, hex.
    pub digest: String,
}

/// Writes documents in the order in which they are kept.
pub struct Writer {
    folder: PathBuf,
    open: Option<OpenSegment>,
    stored: Stored,
    hasher: blake3::Hasher,
}

struct OpenSegment {
    path: PathBuf,
    file: zstd::Encoder<'static, SealedWriter>,
    segment: Segment,
    hasher: blake3::Hasher,
}

impl Writer {
    /// Writes to `folder`, which is empty.
    pub fn new(folder: PathBuf) -> Self {
        let stored = Stored { segments: Vec::new(), documents: 0, bytes: 0, digest: String::new() };
        Self { folder, open: None, stored, hasher: blake3::Hasher::new() }
    }

    /// Adds a document of at most 4 GiB.
    pub fn push(&mut self, digest: ContentDigest, text: &[u8]) -> Result<(), SealedError> {
        self.hasher.update(&digest.0);
        self.stored.documents += 1;
        self.stored.bytes += text.len() as u64;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenSegment::create(&self.folder, self.stored.segments.len())?,
        };
        open.push(digest, text)?;
        if open.segment.bytes >= SEGMENT_BYTES {
            self.stored.segments.push(open.seal()?);
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Closes the last file.
    pub fn finish(mut self) -> Result<Stored, SealedError> {
        if let Some(open) = self.open.take() {
            self.stored.segments.push(open.seal()?);
        }
        self.stored.digest = self.hasher.finalize().to_hex().to_string();
        Ok(self.stored)
    }
}

impl OpenSegment {
    fn create(folder: &Path, index: usize) -> Result<Self, SealedError> {
        let file = format!("{index:05}.documents");
        let path = folder.join(&file);
        let writer = SealedWriter::create(path.clone())?;
        let failed = |source| SealedError::Write { path: path.clone(), source };
        let encoder = zstd::Encoder::new(writer, COMPRESSION_LEVEL).map_err(failed)?;
        let segment = Segment { file, documents: 0, bytes: 0, digest: String::new() };
        Ok(Self { path, file: encoder, segment, hasher: blake3::Hasher::new() })
    }

    fn push(&mut self, digest: ContentDigest, text: &[u8]) -> Result<(), SealedError> {
        self.hasher.update(&digest.0);
        self.segment.documents += 1;
        self.segment.bytes += text.len() as u64;
        let length = u32::try_from(text.len()).expect("documents are bounded far below 4 GiB");
        let mut write = || -> io::Result<()> {
            self.file.write_all(&digest.0)?;
            self.file.write_all(&length.to_le_bytes())?;
            self.file.write_all(text)
        };
        write().map_err(|source| SealedError::Write { path: self.path.clone(), source })
    }

    fn seal(mut self) -> Result<Segment, SealedError> {
        let file = self.file.finish().map_err(|source| SealedError::Write { path: self.path.clone(), source })?;
        file.seal()?;
        self.segment.digest = self.hasher.finalize().to_hex().to_string();
        Ok(self.segment)
    }
}

/// The documents of one file, in order.
pub struct Documents {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
}

impl Documents {
    /// Opens `segment` in `folder` after checking it.
    pub fn open(folder: &Path, segment: &Segment) -> Result<Self, SealedError> {
        let path = folder.join(&segment.file);
        let payload = sealed::open(&path)?;
        let decoder = zstd::Decoder::with_buffer(payload).map_err(|_| SealedError::Damaged { path: path.clone() })?;
        Ok(Self { path, reader: Box::new(decoder) })
    }

    fn next_record(&mut self) -> io::Result<Option<(ContentDigest, String)>> {
        let mut digest = [0; 32];
        let mut length = [0; 4];
        if self.reader.read(&mut digest[..1])? == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut digest[1..])?;
        self.reader.read_exact(&mut length)?;
        let mut text = vec![0; u32::from_le_bytes(length) as usize];
        self.reader.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some((ContentDigest(digest), text)))
    }
}

impl Iterator for Documents {
    type Item = Result<(ContentDigest, String), SealedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.next_record().map_err(|_| SealedError::Damaged { path: self.path.clone() });
        record.transpose()
    }
}
