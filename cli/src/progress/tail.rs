//! Follows a progress file while a worker appends to it.
//!
//! Owns the bytes of a line that is only half written. A line that is no event is passed over: the file may have been
//! torn by a crash, and what cannot be read must not end a run.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bedplate_crds::job::progress::ProgressEvent;

/// Most bytes taken at once, so that a long file never fills the memory.
const CHUNK_BYTES: u64 = 1 << 20;

/// A place in a progress file.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// From the first event on.
    pub fn from_start(path: &Path) -> Self {
        Self { path: path.to_path_buf(), offset: 0, partial: Vec::new() }
    }

    /// From what is appended after this call.
    pub fn from_end(path: &Path) -> Self {
        let offset = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self { path: path.to_path_buf(), offset, partial: Vec::new() }
    }

    /// The events written since the last call, at most [`CHUNK_BYTES`] of them; none when there are no more. A file that
    /// is not there yet holds none.
    pub fn read(&mut self) -> Vec<ProgressEvent> {
        let Ok(bytes) = self.next_bytes() else { return Vec::new() };
        self.partial.extend(bytes);
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else { return Vec::new() };
        let lines: Vec<u8> = self.partial.drain(..=end).collect();
        lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Hands every event up to the end of the file to `take`.
    pub fn read_all(&mut self, mut take: impl FnMut(ProgressEvent)) {
        loop {
            let before = self.offset;
            self.read().into_iter().for_each(&mut take);
            if self.offset == before {
                return;
            }
        }
    }

    fn next_bytes(&mut self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        // A file shorter than what was read has been begun anew.
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}
