//! Progress events of the Dataset's stages. Decides how often, never what happens next.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use bedplate_crds::job::{
    manifest::StageCounts,
    progress::{ProgressBody, ProgressEvent},
};
use bedplate_telemetry::progress::{ProgressError, ProgressWriter, now_seconds};

/// Shortest time between two events of an unfinished stage: often enough for a bar, rare enough for a file.
const INTERVAL: Duration = Duration::from_millis(500);

/// Where events go.
#[derive(Debug)]
pub struct Reporter {
    file: ProgressWriter,
    last: Mutex<Option<Instant>>,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// At work; the share done, where it is known.
    Running(Option<f64>),
    /// Over.
    Done,
    /// Skipped, because nothing it depends on has changed.
    Cached,
}

impl Reporter {
    /// Reports to `file`.
    pub fn new(file: ProgressWriter) -> Self {
        Self { file, last: Mutex::new(None) }
    }

    /// Appends one event.
    pub fn event(&self, body: ProgressBody) -> Result<(), ProgressError> {
        self.file.append(&ProgressEvent { time_seconds: now_seconds(), body })
    }

    /// Whether enough time has passed since the last report of a stage at work.
    pub fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// Reports what `counts` say of their stage.
    pub fn stage(&self, counts: &StageCounts, extent: Extent) -> Result<(), ProgressError> {
        self.event(ProgressBody::Stage {
            stage: counts.stage.clone(),
            documents_in: counts.documents_in,
            documents_out: counts.documents_out,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            left_out: counts.left_out.clone(),
            fraction: match extent {
                Extent::Running(fraction) => fraction.map(|fraction| fraction.clamp(0.0, 1.0)),
                Extent::Done | Extent::Cached => Some(1.0),
            },
            cached: extent == Extent::Cached,
            done: !matches!(extent, Extent::Running(_)),
        })
    }
}
