//! Seconds that a job has run, over all its attempts, against `activeDeadlineSeconds`.
//!
//! Kept beside the checkpoints and not in them: a checkpoint's bytes do not depend on how long it took to make.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// In the job's output folder.
const FILE: &str = "running-seconds";
/// Time between two notes of it: a killed process forgets at most this much, and the disk hardly notices.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// The time cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the running time in {}; check outputDir", path.display())]
pub struct RunningTimeError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A clock that goes on where the last attempt's stopped.
#[derive(Debug)]
pub struct RunningTime {
    output_dir: PathBuf,
    path: PathBuf,
    before: Duration,
    since: Instant,
    limit: Option<Duration>,
    noted: Instant,
}

impl RunningTime {
    /// Starts the clock. A note that a crash left unreadable counts as none.
    pub fn start(output_dir: &Path, limit_seconds: Option<u64>) -> Self {
        let path = output_dir.join(FILE);
        let note = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<f64>().ok());
        let before = note.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        let now = Instant::now();
        Self {
            output_dir: output_dir.to_owned(),
            path,
            before,
            since: now,
            limit: limit_seconds.map(Duration::from_secs),
            noted: now,
        }
    }

    /// Whether the deadline is past.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.total() >= limit)
    }

    /// Notes the time if the last note is old enough.
    pub fn note(&mut self) -> Result<(), RunningTimeError> {
        if self.noted.elapsed() < NOTE_INTERVAL { Ok(()) } else { self.note_now() }
    }

    /// Notes the time.
    pub fn note_now(&mut self) -> Result<(), RunningTimeError> {
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.output_dir)?;
            let partial = self.path.with_extension("partial");
            fs::write(&partial, format!("{:.3}\n", self.total().as_secs_f64()))?;
            fs::rename(&partial, &self.path)
        };
        write().map_err(|source| RunningTimeError { path: self.path.clone(), source })?;
        self.noted = Instant::now();
        Ok(())
    }

    fn total(&self) -> Duration {
        self.before + self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "99.5\n").unwrap();
        let mut clock = RunningTime::start(dir.path(), Some(99));
        assert!(clock.is_over());
        clock.note_now().unwrap();
        let noted: f64 = fs::read_to_string(dir.path().join(FILE)).unwrap().trim().parse().unwrap();
        assert!(noted >= 99.5);
        assert!(!RunningTime::start(dir.path(), Some(1_000_000)).is_over());
        assert!(!RunningTime::start(dir.path(), None).is_over());
    }
}
