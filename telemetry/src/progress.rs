//! Appends progress events to a file, one JSON object a line.
//!
//! Knows nothing of what an event holds, and never reads the file back but to mend a torn last line.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// Why a progress event could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The folder of the file could not be made.
    #[error("could not make the folder {path} of the progress file; check progressFile in the job file", path = path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be opened for appending.
    #[error("could not open the progress file {path}; check progressFile in the job file", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The event could not be turned into JSON.
    #[error("could not write a progress event as JSON")]
    Encode(#[source] serde_json::Error),
    /// The line could not be appended.
    #[error("could not append to the progress file {path}; is the disk full?", path = path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An open progress file. Safe to share between threads: each event is one write of one whole line.
#[derive(Debug)]
pub struct ProgressWriter {
    path: PathBuf,
    file: Mutex<File>,
}

impl ProgressWriter {
    /// Opens `path` for appending and makes its parent folders.
    ///
    /// A last line that a crash cut short is ended, so that it can spoil nothing but itself.
    ///
    /// # Errors
    /// When the folder cannot be made or the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ProgressError> {
        let path = path.as_ref().to_path_buf();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| ProgressError::CreateFolder { path: folder.to_path_buf(), source })?;
        }
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let mut file = file.map_err(|source| ProgressError::Open { path: path.clone(), source })?;
        end_torn_line(&mut file).map_err(|source| ProgressError::Open { path: path.clone(), source })?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Appends `event` as one line.
    ///
    /// # Errors
    /// When the event does not serialise or the disk takes no more.
    pub fn append<T: Serialize + ?Sized>(&self, event: &T) -> Result<(), ProgressError> {
        let mut line = serde_json::to_vec(event).map_err(ProgressError::Encode)?;
        line.push(b'\n');
        // A thread that panicked while it held the lock left a whole line or none: the file is still good.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).map_err(|source| ProgressError::Append { path: self.path.clone(), source })
    }
}

/// Seconds since the Unix epoch, for an event's `timeSeconds`.
pub fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn end_torn_line(file: &mut File) -> std::io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Event {
        event: &'static str,
        step: u32,
    }

    #[test]
    fn appends_lines_over_several_openings_and_makes_folders() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/progress.jsonl");
        ProgressWriter::open(&path).unwrap().append(&Event { event: "step", step: 1 }).unwrap();
        ProgressWriter::open(&path).unwrap().append(&Event { event: "step", step: 2 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"event\":\"step\",\"step\":1}\n{\"event\":\"step\",\"step\":2}\n");
    }

    #[test]
    fn a_torn_last_line_spoils_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("progress.jsonl");
        std::fs::write(&path, "{\"event\":\"st").unwrap();
        ProgressWriter::open(&path).unwrap().append(&Event { event: "step", step: 2 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().last(), Some("{\"event\":\"step\",\"step\":2}"));
    }

    #[test]
    fn threads_never_mix_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("progress.jsonl");
        let writer = ProgressWriter::open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|step| writer.append(&Event { event: "step", step }).unwrap()));
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 200);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn a_folder_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = ProgressWriter::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("progressFile"), "{error}");
    }
}
