//! Progress events and metrics of rank 0; the other ranks report nothing.

use std::process;

use bedplate_crds::job::{
    TrainerJob,
    progress::{ProgressBody, ProgressEvent, StepMetrics},
};
use bedplate_telemetry::{
    progress::{ProgressError, ProgressWriter, now_seconds},
    training_gauges::{StepFigures, TrainingGauges},
};

/// The open progress file and the metrics, on rank 0.
#[derive(Debug)]
pub struct Report(Option<(ProgressWriter, TrainingGauges)>);

impl Report {
    /// Opens the progress file on rank 0.
    pub fn open(rank: u32, job: &TrainerJob) -> Result<Self, ProgressError> {
        let gauges = || TrainingGauges::new(&job.metadata.namespace, &job.metadata.name);
        let writer = (rank == 0).then(|| ProgressWriter::open(&job.progress_file)).transpose()?;
        Ok(Self(writer.map(|writer| (writer, gauges()))))
    }

    /// Appends a step, and sets the metrics to it.
    pub fn step(&self, metrics: StepMetrics) -> Result<(), ProgressError> {
        if let Some((_, gauges)) = &self.0 {
            gauges.record(&StepFigures {
                step: metrics.step,
                loss: metrics.loss,
                gradient_norm: metrics.grad_norm,
                learning_rate: metrics.learning_rate,
                tokens_per_second: metrics.tokens_per_second,
                tokens: metrics.tokens,
            });
        }
        self.event(ProgressBody::Step(metrics))
    }

    /// Appends the event that opens an attempt.
    pub fn started(&self) -> Result<(), ProgressError> {
        self.event(ProgressBody::Started { pid: process::id() })
    }

    /// Appends one event.
    pub fn event(&self, body: ProgressBody) -> Result<(), ProgressError> {
        match &self.0 {
            Some((writer, _)) => writer.append(&ProgressEvent { time_seconds: now_seconds(), body }),
            None => Ok(()),
        }
    }
}
