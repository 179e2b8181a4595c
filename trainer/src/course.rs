//! The step loop: from where the trainer stands to the last step, and the final model.
//!
//! Owns when to save, evaluate and stop. All ranks run it alike; rank 0 alone writes.

use std::time::{Duration, Instant};

use bedplate_crds::job::{
    TrainerJob,
    progress::{ProgressBody, StepMetrics},
};
use bedplate_engine::{checkpoint::CheckpointPhase, collective::Collective};

use crate::{
    checkpoints::Checkpoints,
    data::{SequenceRef, TrainingData},
    error::TrainError,
    evaluate::{byte_lengths, evaluate},
    export::FinalModel,
    plan::TrainingPlan,
    report::Report,
    running_time::RunningTime,
    sample::Samples,
    stop::Stop,
    train::{StepOutcome, StopWish, Trainer},
};

/// What the loop is given.
pub struct Surroundings<'a> {
    /// The job file.
    pub job: &'a TrainerJob,
    /// What was planned.
    pub plan: &'a TrainingPlan,
    /// The Datasets.
    pub data: &'a TrainingData,
    /// Where checkpoints go.
    pub checkpoints: &'a Checkpoints,
    /// Where progress goes.
    pub report: &'a Report,
    /// Asks for the end.
    pub stop: &'a Stop,
    /// Called after each phase of each checkpoint.
    pub observe: &'a mut (dyn FnMut(CheckpointPhase) + Send),
}

/// The loop's own state.
pub struct Course<'a> {
    around: Surroundings<'a>,
    trainer: Trainer<'a>,
    collective: Box<dyn Collective>,
    /// Digest of the newest checkpoint, on rank 0.
    digest: String,
    holdout: Vec<SequenceRef<'a>>,
    byte_lengths: Vec<u32>,
    samples: Samples,
    running_time: RunningTime,
}

impl<'a> Course<'a> {
    /// Gets ready to go on from where `trainer` stands; `digest` is that of the checkpoint it stands at.
    pub fn new(
        around: Surroundings<'a>,
        trainer: Trainer<'a>,
        collective: Box<dyn Collective>,
        digest: String,
    ) -> Result<Self, TrainError> {
        let Surroundings { job, plan, data, .. } = around;
        let tokenizer = data.first().tokenizer().map_err(TrainError::Tokenizer)?;
        let vocab_size = plan.model.config.vocab_size;
        let byte_lengths = byte_lengths(&tokenizer, vocab_size);
        let holdout = data.holdout(job.spec.evaluation.max_sequences.into());
        if holdout.is_empty() {
            tracing::warn!("no Dataset has a hold-out, so nothing is evaluated; set holdout.ratio above 0");
        }
        let end_of_text = data.first().manifest().end_of_text_id;
        let samples =
            Samples::new(tokenizer, (end_of_text, vocab_size), &job.spec.evaluation.sample_prompts, holdout.first())?;
        let running_time = RunningTime::start(&job.output_dir, job.spec.active_deadline_seconds);
        Ok(Self { around, trainer, collective, digest, holdout, byte_lengths, samples, running_time })
    }

    /// Trains to the last step and leaves the final model. Returns the digest of the last checkpoint on rank 0.
    ///
    /// # Errors
    /// A stop that was asked for, a deadline that is past, or whatever went wrong.
    pub fn run(mut self) -> Result<Option<String>, TrainError> {
        let max_steps = self.around.job.spec.schedule.max_steps;
        while self.trainer.state.step < max_steps {
            let began = Instant::now();
            let span = tracing::info_span!("step", step = self.trainer.state.step + 1);
            let outcome = span.in_scope(|| self.trainer.step(self.wish(), self.collective.as_mut()))?;
            self.report_step(&outcome, began.elapsed())?;
            let step = self.trainer.state.step;
            let is_last = step == max_steps;
            let stops = outcome.stop != StopWish::default() && !is_last;
            if is_last || stops || is_due(step, self.around.job.spec.checkpoint.every_steps) {
                self.save()?;
            }
            if stops {
                return Err(stopped(outcome.stop, step));
            }
            if !is_last && is_due(step, self.around.job.spec.evaluation.every_steps) {
                self.evaluate()?;
            }
        }
        self.evaluate()?;
        self.finish()?;
        Ok(Some(self.digest).filter(|digest| !digest.is_empty()))
    }

    fn is_first_rank(&self) -> bool {
        self.collective.rank() == 0
    }

    fn wish(&self) -> StopWish {
        let overtime = self.is_first_rank() && self.running_time.is_over();
        StopWish { preempted: self.around.stop.is_requested(), overtime }
    }

    fn report_step(&mut self, outcome: &StepOutcome, took: Duration) -> Result<(), TrainError> {
        let state = &self.trainer.state;
        let metrics = StepMetrics {
            step: state.step,
            max_steps: self.around.job.spec.schedule.max_steps,
            loss: outcome.loss,
            grad_norm: outcome.grad_norm,
            learning_rate: outcome.learning_rate,
            tokens_per_second: outcome.tokens as f64 / took.as_secs_f64(),
            tokens: state.tokens,
        };
        self.around.report.step(metrics)?;
        if self.is_first_rank() {
            self.running_time.note()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.trainer.check_weights()?;
        if !self.is_first_rank() {
            return Ok(());
        }
        let Trainer { state, weights, optimizer, .. } = &self.trainer;
        let written = self.around.checkpoints.write(state, weights, optimizer, &mut *self.around.observe);
        let checkpoint = written.map_err(|source| TrainError::Save { step: state.step, source })?;
        tracing::info!(step = state.step, digest = checkpoint.digest, bytes = checkpoint.bytes, "checkpoint written");
        self.running_time.note_now()?;
        self.around.report.event(ProgressBody::Checkpoint {
            step: state.step,
            path: checkpoint.path.display().to_string(),
            digest: checkpoint.digest.clone(),
            bytes: checkpoint.bytes,
        })?;
        self.digest = checkpoint.digest;
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), TrainError> {
        let Trainer { accumulator, weights, state, .. } = &mut self.trainer;
        let collective = self.collective.as_mut();
        let found = evaluate(accumulator, weights, &self.holdout, &self.byte_lengths, collective)?;
        let report = self.around.report;
        if let Some(found) = found {
            let (step, tokens) = (state.step, found.tokens);
            let (loss, bits_per_byte) = (found.loss, found.bits_per_byte);
            tracing::info!(step, loss, bits_per_byte, "hold-out measured");
            report.event(ProgressBody::Evaluation { step, loss, bits_per_byte, tokens })?;
        }
        if self.is_first_rank() {
            let config = &self.around.plan.model.config;
            for (prompt, completion) in self.samples.draw(config, &self.trainer.weights) {
                report.event(ProgressBody::Sample { step: self.trainer.state.step, prompt, completion })?;
            }
        }
        Ok(())
    }

    /// Leaves the final model; the other ranks wait, so that all end together.
    fn finish(&mut self) -> Result<(), TrainError> {
        if self.is_first_rank() {
            let model = &self.around.plan.model;
            let last = FinalModel {
                config: &model.config,
                weights: &self.trainer.weights,
                data: self.around.data.first(),
                start: model.folder.as_deref(),
                digest: &self.digest,
            };
            last.write(&self.around.job.output_dir)?;
        }
        self.collective.barrier()?;
        Ok(self.around.report.event(ProgressBody::Completed { digest: self.digest.clone() })?)
    }
}

/// Whether something that happens every so many steps, 0 for never, happens after this one.
fn is_due(step: u64, every_steps: u64) -> bool {
    every_steps > 0 && step.is_multiple_of(every_steps)
}

fn stopped(wish: StopWish, step: u64) -> TrainError {
    match wish.preempted {
        true => TrainError::Preempted { step },
        false => TrainError::Overtime { step },
    }
}
