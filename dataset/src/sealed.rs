//! Files of the stage cache that are whole or absent: payload, then its blake3.
//!
//! Written under another name and renamed when complete. Not synced: what a crash of the machine tears fails its
//! checksum and is made again.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Take, Write},
    path::{Path, PathBuf},
};

/// Bytes of the checksum at the end.
const TRAILER: u64 = 32;
/// Bytes read at a time while checking.
const CHECK_BUFFER: usize = 256 << 10;

/// Why a file of the cache could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The disk took no more.
    #[error("cannot write {path}; is the disk full?", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is gone, cut short or changed.
    #[error("the cached file {path} is damaged; it is made again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// A file that grows under a temporary name.
pub struct SealedWriter {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl SealedWriter {
    /// Begins the file at `path`, whose folder exists.
    pub fn create(path: PathBuf) -> Result<Self, SealedError> {
        let partial = path.with_extension("partial");
        match File::create(&partial) {
            Ok(file) => Ok(Self { path, partial, file: BufWriter::new(file), hasher: blake3::Hasher::new() }),
            Err(source) => Err(SealedError::Write { path, source }),
        }
    }

    /// Appends the checksum and gives the file its name.
    pub fn seal(mut self) -> Result<(), SealedError> {
        let mut end = || -> io::Result<()> {
            self.file.write_all(self.hasher.finalize().as_bytes())?;
            self.file.flush()?;
            std::fs::rename(&self.partial, &self.path)
        };
        end().map_err(|source| SealedError::Write { path: self.path, source })
    }

    /// The error for a failed write to this file.
    pub fn error(&self, source: io::Error) -> SealedError {
        SealedError::Write { path: self.path.clone(), source }
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The payload of the file at `path`, after its checksum was found right.
pub fn open(path: &Path) -> Result<BufReader<Take<File>>, SealedError> {
    let checked = || -> io::Result<Option<Take<File>>> {
        let mut file = File::open(path)?;
        let Some(length) = file.metadata()?.len().checked_sub(TRAILER) else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        let mut payload = BufReader::with_capacity(CHECK_BUFFER, (&mut file).take(length));
        io::copy(&mut payload, &mut hasher)?;
        let mut trailer = [0; TRAILER as usize];
        file.read_exact(&mut trailer)?;
        file.seek(SeekFrom::Start(0))?;
        Ok((*hasher.finalize().as_bytes() == trailer).then(|| file.take(length)))
    };
    match checked() {
        Ok(Some(payload)) => Ok(BufReader::with_capacity(CHECK_BUFFER, payload)),
        Ok(None) | Err(_) => Err(SealedError::Damaged { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let mut writer = SealedWriter::create(path.clone()).unwrap();
        writer.write_all(b"some text").unwrap();
        assert!(!path.exists(), "nothing has its name before it is whole");
        writer.seal().unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "some text");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(open(&path).is_err(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(open(&path).is_err(), "cut at {at}");
        }
    }
}
