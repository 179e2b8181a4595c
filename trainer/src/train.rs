//! The training state of one rank and its step.
//!
//! Owns weights, gradients and the optimiser. Never decides when to evaluate, save or stop.

use std::sync::Arc;

use bedplate_engine::{
    AdamW, ConfigError, ParamLayout, Weights,
    checkpoint::{Checkpoint, CheckpointError, TrainerState},
    clip_scale,
    collective::{Collective, CollectiveError},
    global_norm,
};

use crate::{
    accumulate::Accumulator,
    checkpoints::restore,
    data::{BatchError, TrainingData},
    model::ModelError,
    plan::TrainingPlan,
};

/// Why a step was not taken, or a state not set up.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A sequence cannot be computed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The ranks lost one another.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The loss or the gradients are no longer numbers.
    #[error(
        "{what} of step {step} is {value}: training has diverged, and nothing of this step was kept; lower spec.schedule.learningRate, lengthen warmupSteps or set spec.optimizer.maxGradNorm, and train under a new name"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// What is no number.
        what: &'static str,
        /// What it is.
        value: f64,
    },
    /// Nothing to learn from.
    #[error(
        "the sequences of step {step} hold no token that follows another; raise packing.sequenceLength or drop shorter documents in the Dataset"
    )]
    NoTargets {
        /// The step.
        step: u64,
    },
    /// The model cannot be computed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights to start from cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The checkpoint to resume from cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a rank would like to stop after this step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopWish {
    /// A signal arrived.
    pub preempted: bool,
    /// The job's time is up.
    pub overtime: bool,
}

/// What a step came to, the same on every rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean negative log-likelihood of a target token, in nats.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Target tokens of the step.
    pub tokens: u64,
    /// Whether any rank wished to stop.
    pub stop: StopWish,
}

/// One rank's training state.
#[derive(Debug)]
pub struct Trainer<'a> {
    plan: &'a TrainingPlan,
    data: &'a TrainingData,
    /// What the forward and backward passes work in.
    pub accumulator: Accumulator,
    /// The weights, equal on every rank.
    pub weights: Weights,
    /// The optimiser, equal on every rank.
    pub optimizer: AdamW,
    /// Where training stands.
    pub state: TrainerState,
}

impl<'a> Trainer<'a> {
    /// Allocates everything, with the weights that training begins with.
    pub fn new(plan: &'a TrainingPlan, data: &'a TrainingData, seed: u64) -> Result<Self, StepError> {
        let layout = Arc::new(ParamLayout::new(&plan.model.config));
        Ok(Self {
            plan,
            data,
            accumulator: Accumulator::new(plan, &layout)?,
            weights: plan.model.weights(&layout, seed)?,
            optimizer: AdamW::new(plan.optimizer, layout),
            state: TrainerState { recipe: plan.recipe.clone(), ..TrainerState::default() },
        })
    }

    /// Puts every rank into the state of the checkpoint that rank 0 has found, if it has: only rank 0 needs to reach
    /// the storage of the checkpoints.
    pub fn resume(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        collective: &mut dyn Collective,
    ) -> Result<(), StepError> {
        if let Some(checkpoint) = checkpoint {
            restore(checkpoint, &mut self.weights, &mut self.optimizer)?;
            self.state = checkpoint.manifest.state.clone();
        }
        let mut position = [self.state.step, self.state.samples, self.state.tokens];
        collective.broadcast(bytemuck::cast_slice_mut(&mut position))?;
        [self.state.step, self.state.samples, self.state.tokens] = position;
        if self.state.step > 0 {
            collective.broadcast(bytemuck::cast_slice_mut(self.weights.as_mut_slice()))?;
            let (first, second) = self.optimizer.restore(self.state.step);
            collective.broadcast(bytemuck::cast_slice_mut(first))?;
            collective.broadcast(bytemuck::cast_slice_mut(second))?;
        }
        Ok(())
    }

    /// Takes one step: forward and backward over this rank's micro-batches, sum over ranks, clip, update.
    ///
    /// The gradient is that of the mean loss over the target tokens of the whole step, however they are spread over
    /// micro-batches and ranks.
    pub fn step(&mut self, wish: StopWish, collective: &mut dyn Collective) -> Result<StepOutcome, StepError> {
        let step = self.state.step + 1;
        let learning_rate = self.plan.schedule.at(self.state.step);
        let rank = collective.rank() as u64;
        let loss = self.accumulator.sum(&self.weights, self.data, self.state.samples, rank)?;
        let mut sums = [loss.nll, loss.tokens as f64, f64::from(wish.preempted), f64::from(wish.overtime)];
        collective.all_reduce_sum_f64(&mut sums)?;
        let [nll, tokens, preempted, overtime] = sums;
        if tokens == 0.0 {
            return Err(StepError::NoTargets { step });
        }
        finite(step, "the loss", nll / tokens)?;

        let gradients = self.accumulator.gradients_mut();
        collective.all_reduce_sum(gradients.as_mut_slice())?;
        let grad_norm = global_norm(gradients) / tokens;
        finite(step, "the gradient norm", grad_norm)?;
        let clip = self.plan.max_grad_norm.map_or(1.0, |max| clip_scale(grad_norm, max));
        self.optimizer.step(&mut self.weights, gradients, learning_rate, clip / tokens);

        self.state.step = step;
        self.state.samples += self.plan.global_batch_size;
        self.state.tokens += tokens as u64;
        let stop = StopWish { preempted: preempted > 0.0, overtime: overtime > 0.0 };
        Ok(StepOutcome { loss: nll / tokens, grad_norm, learning_rate, tokens: tokens as u64, stop })
    }

    /// Refuses weights that the last update has broken, before they are saved.
    pub fn check_weights(&self) -> Result<(), StepError> {
        match self.weights.as_slice().iter().find(|weight| !weight.is_finite()) {
            None => Ok(()),
            Some(weight) => finite(self.state.step, "a weight after the update", f64::from(*weight)),
        }
    }
}

fn finite(step: u64, what: &'static str, value: f64) -> Result<(), StepError> {
    if value.is_finite() { Ok(()) } else { Err(StepError::Diverged { step, what, value }) }
}
