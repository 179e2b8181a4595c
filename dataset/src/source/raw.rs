//! The bytes of a file as they lie there, on their way to whoever decodes them.
//!
//! Owns the hash and the progress of what was read, and the knowledge whether the place itself failed, which no decoder's
//! error tells. Never looks at a byte.

use std::{
    cell::Cell,
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    InputFile, SourceError,
    read::{BUFFER, FileHash},
};

/// A file that is read once, from its beginning to its end.
pub(super) struct Raw<'a> {
    reader: Box<dyn Read + Send + 'a>,
    hasher: blake3::Hasher,
    bytes: u64,
    progress: &'a AtomicU64,
    failed: Cell<bool>,
}

impl<'a> Raw<'a> {
    pub(super) fn open(file: &'a InputFile, progress: &'a AtomicU64) -> Result<Self, SourceError> {
        let (hasher, failed) = (blake3::Hasher::new(), Cell::new(false));
        Ok(Self { reader: file.open()?, hasher, bytes: 0, progress, failed })
    }

    /// Whether the disk or the server gave up, as opposed to whoever decodes the bytes.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Reads what is left; the hash and the number of all bytes.
    pub(super) fn finish(&mut self) -> io::Result<(FileHash, u64)> {
        io::copy(&mut io::BufReader::with_capacity(BUFFER, &mut *self), &mut io::sink())?;
        Ok((self.hasher.finalize().to_hex().to_string(), self.bytes))
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out);
        self.failed.set(read.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted));
        let count = read?;
        self.hasher.update(&out[..count]);
        self.bytes += count as u64;
        self.progress.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
