//! Progress events of rank 0; the other ranks report nothing.

use std::{path::Path, process};

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent};
use bedplate_telemetry::progress::{ProgressError, ProgressWriter, now_seconds};

/// The open progress file, on rank 0.
#[derive(Debug)]
pub struct Report(Option<ProgressWriter>);

impl Report {
    /// Opens the progress file on rank 0.
    pub fn open(rank: u32, path: &Path) -> Result<Self, ProgressError> {
        Ok(Self((rank == 0).then(|| ProgressWriter::open(path)).transpose()?))
    }

    /// Appends the event that opens an attempt.
    pub fn started(&self) -> Result<(), ProgressError> {
        self.event(ProgressBody::Started { pid: process::id() })
    }

    /// Appends one event.
    pub fn event(&self, body: ProgressBody) -> Result<(), ProgressError> {
        match &self.0 {
            Some(writer) => writer.append(&ProgressEvent { time_seconds: now_seconds(), body }),
            None => Ok(()),
        }
    }
}
