//! Everything that is decided before the first allocation.
//!
//! Owns the translation of the job file into the engine's words, and every refusal that follows from it.

use std::collections::BTreeMap;

use bedplate_crds::{
    job::TrainerJob,
    training_job::{LrSchedulerType, Objective, Precision, Schedule},
};
use bedplate_engine::{AdamWConfig, BatchShape, LrSchedule, LrShape, MemoryPlan, ParamLayout};

use crate::{
    accumulate::SumTree,
    data::TrainingData,
    job::ranks_on_this_machine,
    memory::{self, MemoryError},
    model::StartModel,
    recipe::{Recipe, recipe_of},
    sample,
};

/// Share of the steps in the final decay of `wsd`, where the spec names none.
const DEFAULT_DECAY_SHARE: u64 = 10;

/// What one rank will do.
#[derive(Clone, Debug)]
pub struct TrainingPlan {
    /// The model.
    pub model: StartModel,
    /// One micro-batch.
    pub shape: BatchShape,
    /// Sequences of a step, over all ranks.
    pub global_batch_size: u64,
    /// How the micro-batches of a step are summed.
    pub tree: SumTree,
    /// Learning rates.
    pub schedule: LrSchedule,
    /// The optimiser's constants.
    pub optimizer: AdamWConfig,
    /// Largest gradient norm; none does not clip.
    pub max_grad_norm: Option<f64>,
    /// What a checkpoint of this job must agree with.
    pub recipe: Recipe,
    /// Bytes of each part.
    pub memory: BTreeMap<String, u64>,
    /// Trainable parameters.
    pub parameters: u64,
}

impl TrainingPlan {
    /// Plans the part of one rank of `world_size`, and refuses what does not fit its memory.
    pub fn new(job: &TrainerJob, model: StartModel, data: &TrainingData) -> Result<Self, MemoryError> {
        // New objectives and formats have to be planned for here before they compile.
        let (Objective::CausalLm, Precision::Fp32) = (job.spec.objective, job.spec.precision);
        let spec = &job.spec;
        let sequence_length = data.first().manifest().sequence_length as usize;
        let shape = BatchShape { micro_batch_size: spec.schedule.micro_batch_size as usize, sequence_length };
        let micro_batches = u64::from(spec.schedule.global_batch_size / spec.schedule.micro_batch_size);
        let tree = SumTree::new(micro_batches, u64::from(spec.parallelism.data));
        let memory = memory_of(&model, shape, tree.buffers());
        memory::check(&memory, job.memory_limit_bytes, ranks_on_this_machine(job))?;
        let recipe = recipe_of(job, &model.config, data);
        let parameters = ParamLayout::new(&model.config).len() as u64;
        Ok(Self {
            shape,
            global_batch_size: spec.schedule.global_batch_size.into(),
            tree,
            schedule: schedule_of(&spec.schedule),
            optimizer: AdamWConfig {
                beta1: spec.optimizer.beta1,
                beta2: spec.optimizer.beta2,
                eps: spec.optimizer.epsilon,
                weight_decay: spec.optimizer.weight_decay,
            },
            max_grad_norm: Some(spec.optimizer.max_grad_norm).filter(|norm| *norm > 0.0),
            recipe,
            memory,
            parameters,
            model,
        })
    }
}

fn memory_of(model: &StartModel, shape: BatchShape, gradient_buffers: usize) -> BTreeMap<String, u64> {
    let plan = MemoryPlan::for_training(&model.config, shape, gradient_buffers);
    let mut parts: BTreeMap<_, _> = plan.parts().iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
    let samples = sample::memory_bytes(&model.config, parts["weights"]);
    parts.insert("samples".to_owned(), samples);
    parts
}

fn schedule_of(schedule: &Schedule) -> LrSchedule {
    let shape = match schedule.lr_scheduler_type {
        LrSchedulerType::Cosine => LrShape::Cosine,
        LrSchedulerType::Linear => LrShape::Linear,
        LrSchedulerType::Constant => LrShape::Constant,
        LrSchedulerType::Wsd => {
            let decay_steps = schedule.decay_steps.unwrap_or(schedule.max_steps / DEFAULT_DECAY_SHARE);
            LrShape::WarmupStableDecay { decay_steps }
        }
    };
    LrSchedule {
        shape,
        peak: schedule.learning_rate,
        min_ratio: schedule.min_learning_rate_ratio,
        warmup_steps: schedule.warmup_steps,
        max_steps: schedule.max_steps,
    }
}
