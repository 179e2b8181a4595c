//! The latest progress of one resource, folded out of its events: what its status shows.
//!
//! Pure: events in, state out, no clock. Whoever folds hands in each event once, in the order of the progress file.

use bedplate_crds::{
    dataset::status::StageStatus,
    job::progress::{ProgressBody, ProgressEvent, StepMetrics},
    training_job::status::{CheckpointStatus, LatestEvaluation},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// Weight of the newest step in the mean time of a step: some ten steps set the rate, one slow step hardly moves it.
const RATE_WEIGHT: f64 = 0.2;

/// The latest progress of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressSnapshot {
    /// When the newest attempt began.
    pub started: Option<Time>,
    /// When the newest event was written.
    pub reported: Option<Time>,
    /// A Dataset's stages so far, in the order in which they began.
    pub stages: Vec<StageStatus>,
    /// Share of the present stage that is done (0 to 1), where it is known.
    pub stage_fraction: Option<f64>,
    /// The latest training step.
    pub step: Option<LatestStep>,
    /// The latest measurement of the hold-out.
    pub evaluation: Option<LatestEvaluation>,
    /// The newest durable checkpoint.
    pub checkpoint: Option<CheckpointStatus>,
    /// Seconds until the last step, at the rate of the last few steps of this attempt.
    pub remaining_seconds: Option<u64>,
    /// Digest of the finished artefact.
    pub completed_digest: Option<String>,
    /// The sentence with which the newest attempt ended early.
    pub failed_message: Option<String>,
    /// Base URL at which the newest attempt answers.
    pub ready_url: Option<String>,
    /// Mean seconds between steps.
    seconds_per_step: Option<f64>,
    /// Time and number of the step before, in this attempt.
    last_step: Option<(f64, u64)>,
    /// Whether each of `stages` is over: a pipeline may hold two stages of one name.
    finished: Vec<bool>,
}

/// The latest training step.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestStep {
    /// Its figures.
    pub metrics: StepMetrics,
    /// When it was reported.
    pub time: Time,
}

impl ProgressSnapshot {
    /// Takes in the next event.
    pub fn fold(&mut self, event: &ProgressEvent) {
        let time = time(event.time_seconds);
        self.reported = Some(time.clone());
        match &event.body {
            ProgressBody::Started { .. } => self.begin(time),
            ProgressBody::Stage { .. } => self.fold_stage(&event.body),
            ProgressBody::Step(metrics) => self.fold_step(event.time_seconds, time, metrics),
            ProgressBody::Evaluation { step, loss, bits_per_byte, .. } => {
                let (step, loss, bits_per_byte) = (*step, *loss, *bits_per_byte);
                self.evaluation = Some(LatestEvaluation { step, loss, bits_per_byte });
            }
            ProgressBody::Checkpoint { step, digest, bytes, .. } => {
                let (step, digest, bytes) = (*step, digest.clone(), *bytes);
                self.checkpoint = Some(CheckpointStatus { step, digest, bytes, time: Some(time) });
            }
            ProgressBody::Ready { url } => self.ready_url = Some(url.clone()),
            ProgressBody::Completed { digest } => {
                self.completed_digest = Some(digest.clone()).filter(|digest| !digest.is_empty());
                self.remaining_seconds = None;
            }
            ProgressBody::Failed { message, .. } => {
                self.failed_message = Some(message.clone());
                (self.ready_url, self.remaining_seconds) = (None, None);
            }
            ProgressBody::Sample { .. } | ProgressBody::Plan { .. } => {}
        }
    }

    /// A new attempt: what the one before said of its end, its rate and its endpoint no longer holds.
    fn begin(&mut self, time: Time) {
        *self = Self {
            started: Some(time),
            reported: self.reported.take(),
            step: self.step.take(),
            evaluation: self.evaluation.take(),
            checkpoint: self.checkpoint.take(),
            ..Self::default()
        };
    }

    fn fold_stage(&mut self, body: &ProgressBody) {
        let ProgressBody::Stage {
            stage,
            documents_in,
            documents_out,
            bytes_in,
            bytes_out,
            left_out,
            fraction,
            cached,
            done,
        } = body
        else {
            return;
        };
        let status = StageStatus {
            stage: stage.clone(),
            documents_in: *documents_in,
            documents_out: *documents_out,
            bytes_in: *bytes_in,
            bytes_out: *bytes_out,
            left_out: left_out.clone(),
            cached: *cached,
        };
        self.stage_fraction = *fraction;
        let names = self.stages.iter().zip(&self.finished);
        match names.into_iter().position(|(known, finished)| known.stage == *stage && !finished) {
            Some(index) => (self.stages[index], self.finished[index]) = (status, *done),
            None => {
                self.stages.push(status);
                self.finished.push(*done);
            }
        }
    }

    fn fold_step(&mut self, seconds: f64, time: Time, metrics: &StepMetrics) {
        if let Some((last_seconds, last_step)) = self.last_step
            && metrics.step > last_step
            && seconds > last_seconds
        {
            let took = (seconds - last_seconds) / (metrics.step - last_step) as f64;
            let mean = self.seconds_per_step.map_or(took, |mean| mean + RATE_WEIGHT * (took - mean));
            self.seconds_per_step = Some(mean);
        }
        self.last_step = Some((seconds, metrics.step));
        let left = metrics.max_steps.saturating_sub(metrics.step);
        self.remaining_seconds = self.seconds_per_step.map(|mean| whole_seconds(left as f64 * mean));
        self.step = Some(LatestStep { metrics: metrics.clone(), time });
    }
}

/// Whether an event is worth telling at once, not only with the next regular update.
pub fn is_important(body: &ProgressBody) -> bool {
    match body {
        ProgressBody::Started { .. }
        | ProgressBody::Checkpoint { .. }
        | ProgressBody::Ready { .. }
        | ProgressBody::Completed { .. }
        | ProgressBody::Failed { .. } => true,
        ProgressBody::Stage { .. }
        | ProgressBody::Step(_)
        | ProgressBody::Evaluation { .. }
        | ProgressBody::Sample { .. }
        | ProgressBody::Plan { .. } => false,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates at both ends")]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

/// A time out of range becomes 1970: a clock that is that wrong says nothing.
fn time(seconds: f64) -> Time {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let milliseconds = (seconds * 1e3) as i64;
    Time(Timestamp::from_millisecond(milliseconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
