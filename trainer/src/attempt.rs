//! One attempt at a job: from the job file to the final model, or to the reason why not.
//!
//! Owns the order of the stages. The work itself is in the stages' modules.

use std::{fmt, thread};

use bedplate_crds::job::{TrainerJob, progress::ProgressBody, secret::Secret};
use bedplate_engine::{
    checkpoint::CheckpointPhase,
    collective::{Collective, Solo},
};
use bedplate_telemetry::{chain::Chain, trace_context::continue_from};

use crate::{
    checkpoints::{Checkpoints, Start},
    course::{Course, Surroundings},
    data::TrainingData,
    error::TrainError,
    job::{self, host_of, is_loopback, ranks_on_this_machine},
    model::{HubAccess, StartModel},
    plan::TrainingPlan,
    recipe::agreement_of,
    rendezvous::{self, Identity, Key, Patience, RENDEZVOUS_TIMEOUT, RendezvousError},
    report::Report,
    stop::Stop,
    train::Trainer,
};

/// What an attempt is given besides the job file.
pub struct Attempt<'a> {
    /// This process' number among the ranks.
    pub rank: u32,
    /// Where models are downloaded from.
    pub hub: HubAccess,
    /// Asks for the end.
    pub stop: Stop,
    /// Called after each phase of each checkpoint.
    pub observe: &'a mut (dyn FnMut(CheckpointPhase) + Send),
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Attempt").field("rank", &self.rank).finish_non_exhaustive()
    }
}

/// Carries the job out, or goes on with it, and reports how it ended. Returns the digest of the final checkpoint on rank 0.
///
/// # Errors
/// Whatever kept the job from being done; a stop and a deadline count as such.
pub fn run(job: &TrainerJob, attempt: Attempt<'_>) -> Result<Option<String>, TrainError> {
    let span = tracing::info_span!("training", job = job.metadata.name, rank = attempt.rank);
    job.metadata.traceparent.iter().for_each(|traceparent| continue_from(&span, traceparent));
    let report = Report::open(attempt.rank, job)?;
    let threads = threads_of(job);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| TrainError::Threads { threads, source })?;
    let result = pool.install(|| span.in_scope(|| train(job, attempt, &report)));
    if let Err(error) = &result {
        let exit_code = error.exit_code().code().into();
        if let Err(unreported) = report.event(ProgressBody::Failed { message: Chain(error).to_string(), exit_code }) {
            tracing::warn!(error = %Chain(&unreported), "the end was not reported");
        }
    }
    result
}

fn train(job: &TrainerJob, attempt: Attempt<'_>, report: &Report) -> Result<Option<String>, TrainError> {
    let Attempt { rank, hub, stop, observe } = attempt;
    job::check(job, rank)?;
    report.started()?;
    let seed = job.spec.schedule.seed;
    let data = TrainingData::open(&job.spec.data, &job.dataset_dirs, seed)?;
    let model = StartModel::find(job, &data, &hub)?;
    let plan = TrainingPlan::new(job, model, &data)?;
    report.event(ProgressBody::Plan { bytes: plan.memory.clone(), parameters: plan.parameters })?;
    let checkpoints = Checkpoints::of(job);
    let start = if rank == 0 { checkpoints.find(&plan.recipe)? } else { Start::Fresh };
    let mut collective = meet(job, &plan, rank, stop.clone())?;
    if is_complete(&start, collective.as_mut())? {
        tracing::info!("the job is complete already");
        return match start {
            Start::Complete { digest } => {
                report.event(ProgressBody::Completed { digest: digest.clone() })?;
                Ok(Some(digest))
            }
            Start::Fresh | Start::Resume(_) => Ok(None),
        };
    }
    let mut trainer = Trainer::new(&plan, &data, seed)?;
    trainer.resume(start.checkpoint(), collective.as_mut())?;
    let digest = start.checkpoint().map(|checkpoint| checkpoint.digest.clone()).unwrap_or_default();
    let around =
        Surroundings { job, plan: &plan, data: &data, checkpoints: &checkpoints, report, stop: &stop, observe };
    Course::new(around, trainer, collective, digest)?.run()
}

/// The collective of all ranks.
fn meet(job: &TrainerJob, plan: &TrainingPlan, rank: u32, stop: Stop) -> Result<Box<dyn Collective>, RendezvousError> {
    let Some(address) = job.rendezvous.as_deref().filter(|_| job.spec.parallelism.data > 1) else {
        return Ok(Box::new(Solo));
    };
    let identity = Identity {
        job: format!("{}/{}", job.metadata.namespace, job.metadata.name),
        agreement: agreement_of(job, &plan.recipe),
        rank: rank as usize,
        world_size: job.spec.parallelism.data as usize,
        key: Key::new(job.rendezvous_token.as_ref().map(Secret::reveal)),
    };
    if !identity.key.is_secret() && !is_loopback(host_of(address)) {
        tracing::warn!("the job file has no rendezvousToken: whoever reaches the rendezvous can join as a rank");
    }
    tracing::info!(address, world_size = identity.world_size, "meeting the other ranks");
    Ok(Box::new(rendezvous::join(&identity, address, &Patience::new(RENDEZVOUS_TIMEOUT, stop))?))
}

/// Whether rank 0 found the job done; the others do not know.
fn is_complete(start: &Start, collective: &mut dyn Collective) -> Result<bool, TrainError> {
    let mut flag = [u8::from(matches!(start, Start::Complete { .. }))];
    collective.broadcast(&mut flag)?;
    Ok(flag == [1])
}

fn threads_of(job: &TrainerJob) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    match job.threads {
        0 => (cores / (ranks_on_this_machine(job) as usize).max(1)).max(1),
        threads => threads,
    }
}
