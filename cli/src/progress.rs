//! What a workload has reported so far, gathered from its events.
//!
//! Owns the folding of events over several attempts: a resumed training replaces the steps that it takes again. Pure.

pub mod tail;

use std::collections::BTreeMap;

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent, StepMetrics};

/// Steps kept for curves. When there are more, every second one of the older half goes: a curve of 1200 pixels shows no
/// more than some thousand points.
const MAX_STEPS_KEPT: usize = 16_384;
/// Samples kept: a report shows the first, the last and some between.
const MAX_SAMPLES_KEPT: usize = 512;
/// Steps that the remaining time is estimated from: enough to even out evaluations and checkpoints.
const ETA_WINDOW_STEPS: usize = 50;

/// Something and the time it was reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed<T> {
    /// Seconds since the Unix epoch.
    pub time_seconds: f64,
    /// What was reported.
    pub value: T,
}

/// A stage of a Dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Documents that went in.
    pub documents_in: u64,
    /// Documents that came out.
    pub documents_out: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// What it left out, by what it is.
    pub left_out: BTreeMap<String, u64>,
    /// Share of the work done, where known.
    pub fraction: Option<f64>,
    /// Whether it was skipped.
    pub cached: bool,
    /// Whether it is over.
    pub done: bool,
    /// When it was first heard of, in seconds since the Unix epoch.
    pub began_seconds: f64,
    /// When it was last heard of.
    pub heard_seconds: f64,
}

/// A measurement of the hold-out.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Step after which it was made.
    pub step: u64,
    /// Nats per token.
    pub loss: f64,
    /// Bits per byte.
    pub bits_per_byte: f64,
    /// Predicted tokens.
    pub tokens: u64,
}

/// A durable checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Step it holds.
    pub step: u64,
    /// Folder.
    pub path: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Size on disk.
    pub bytes: u64,
}

/// A piece of generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Step after which it was drawn.
    pub step: u64,
    /// What was given.
    pub prompt: String,
    /// What followed.
    pub completion: String,
}

/// The accepted memory plan.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryPlan {
    /// Bytes per named part.
    pub bytes: BTreeMap<String, u64>,
    /// Trainable parameters.
    pub parameters: u64,
}

/// All that a workload has reported. Of the last attempt alone: `url`, `completed`, `failed`, `steps_taken`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Attempts that came up.
    pub attempts: u32,
    /// Stages of a Dataset, in order.
    pub stages: Vec<Stage>,
    /// Training steps, in order.
    pub steps: Vec<Timed<StepMetrics>>,
    /// Hold-out measurements, in order.
    pub evaluations: Vec<Timed<Evaluation>>,
    /// Checkpoints, in order.
    pub checkpoints: Vec<Timed<Checkpoint>>,
    /// Samples, in order.
    pub samples: Vec<Timed<Sample>>,
    /// Memory plan of the last attempt that made one.
    pub plan: Option<MemoryPlan>,
    /// Where the server listens.
    pub url: Option<String>,
    /// Digest of the artefact.
    pub completed: Option<String>,
    /// Why the attempt ended early.
    pub failed: Option<String>,
    /// Whether the attempt has reported work, as against finding it done.
    pub worked: bool,
    /// Steps that this attempt has taken.
    pub steps_taken: usize,
    /// Time of the last event, in seconds since the Unix epoch.
    pub heard_seconds: f64,
    stages_are_old: bool,
}

impl Progress {
    /// Takes in one event.
    pub fn apply(&mut self, event: &ProgressEvent) {
        let time_seconds = event.time_seconds;
        self.heard_seconds = time_seconds;
        match &event.body {
            ProgressBody::Started { .. } => self.begin_attempt(),
            ProgressBody::Stage { .. } => self.apply_stage(event),
            ProgressBody::Step(metrics) => self.apply_step(Timed { time_seconds, value: metrics.clone() }),
            ProgressBody::Evaluation { step, loss, bits_per_byte, tokens } => {
                let (step, loss, bits_per_byte, tokens) = (*step, *loss, *bits_per_byte, *tokens);
                self.evaluations.retain(|earlier| earlier.value.step < step);
                self.evaluations.push(Timed { time_seconds, value: Evaluation { step, loss, bits_per_byte, tokens } });
            }
            ProgressBody::Checkpoint { step, path, digest, bytes } => {
                let value = Checkpoint { step: *step, path: path.clone(), digest: digest.clone(), bytes: *bytes };
                self.checkpoints.retain(|earlier| earlier.value.step < value.step);
                self.checkpoints.push(Timed { time_seconds, value });
            }
            ProgressBody::Sample { step, prompt, completion } => {
                let value = Sample { step: *step, prompt: prompt.clone(), completion: completion.clone() };
                self.samples.push(Timed { time_seconds, value });
                thin(&mut self.samples, MAX_SAMPLES_KEPT);
            }
            ProgressBody::Plan { bytes, parameters } => {
                self.plan = Some(MemoryPlan { bytes: bytes.clone(), parameters: *parameters });
            }
            ProgressBody::Ready { url } => self.url = Some(url.clone()),
            ProgressBody::Completed { digest } => self.completed = Some(digest.clone()),
            ProgressBody::Failed { message, .. } => self.failed = Some(message.clone()),
        }
    }

    fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.steps_taken = 0;
        self.worked = false;
        self.stages_are_old = true;
        (self.url, self.completed, self.failed) = (None, None, None);
    }

    fn apply_stage(&mut self, event: &ProgressEvent) {
        let ProgressBody::Stage {
            stage, documents_in, documents_out, bytes_out, left_out, fraction, cached, done, ..
        } = &event.body
        else {
            return;
        };
        if std::mem::take(&mut self.stages_are_old) {
            self.stages.clear();
        }
        self.worked |= !cached;
        let time = event.time_seconds;
        let earlier = self.stages.iter().position(|earlier| earlier.name == *stage && !earlier.done);
        let began_seconds = earlier.map_or(time, |index| self.stages[index].began_seconds);
        let stage = Stage {
            name: stage.clone(),
            documents_in: *documents_in,
            documents_out: *documents_out,
            bytes_out: *bytes_out,
            left_out: left_out.clone(),
            fraction: *fraction,
            cached: *cached,
            done: *done,
            began_seconds,
            heard_seconds: time,
        };
        match earlier {
            Some(index) => self.stages[index] = stage,
            None => self.stages.push(stage),
        }
    }

    /// A step taken again replaces what an earlier attempt reported from there on.
    fn apply_step(&mut self, step: Timed<StepMetrics>) {
        let number = step.value.step;
        self.worked = true;
        self.steps_taken += 1;
        while self.steps.last().is_some_and(|last| last.value.step >= number) {
            self.steps.pop();
        }
        self.evaluations.retain(|earlier| earlier.value.step < number);
        self.samples.retain(|earlier| earlier.value.step < number);
        self.steps.push(step);
        thin(&mut self.steps, MAX_STEPS_KEPT);
    }

    /// Seconds until the last step, from the pace of the latest ones; none before two steps of this attempt.
    pub fn remaining_seconds(&self) -> Option<f64> {
        let window = self.steps_taken.min(self.steps.len()).min(ETA_WINDOW_STEPS);
        let recent = &self.steps[self.steps.len() - window..];
        let (first, last) = (recent.first()?, recent.last()?);
        let steps = last.value.step.checked_sub(first.value.step).filter(|steps| *steps > 0)?;
        let pace = (last.time_seconds - first.time_seconds) / steps as f64;
        Some(pace * last.value.max_steps.saturating_sub(last.value.step) as f64)
    }

    /// The stage that runs, or the last one that ran.
    pub fn current_stage(&self) -> Option<&Stage> {
        self.stages.iter().rev().find(|stage| !stage.done).or(self.stages.last())
    }
}

/// Halves the older half when there are too many; the first and the newest stay.
fn thin<T>(items: &mut Vec<T>, most: usize) {
    if items.len() <= most {
        return;
    }
    let half = items.len() / 2;
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        index > half || index % 2 == 1
    });
}

#[cfg(test)]
mod tests;
