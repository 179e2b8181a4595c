//! The decision about a TrainingJob: wait, run, hold back, start again, end.
//!
//! A running job whose spec changes in what its pods are made from is stopped after a checkpoint and goes on with the new
//! spec; a failed one is tried again then, or when somebody deletes its Job. A complete one stays as it is: what decides its
//! result cannot change.

use bedplate_crds::{
    conditions::{ConditionType as Type, Reason},
    training_job::{
        ModelSource, TrainingJobSpec,
        status::{TrainingJobPhase, TrainingJobStatus},
    },
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    children::{self, Surroundings},
    figures,
};
use crate::{
    cluster::{
        acceptance,
        children::{ChildrenError, JobChildren},
        conditions::Conditions,
        decision::{Decision, JobAdjustment},
        departure::{self, Departure},
        failure_policy::RESTART_BUDGET,
        gate::{self, Blocker},
        job_view::{JobState, JobView},
        names,
        observed::{Dependency, Observed},
        owner::Owner,
        pods::Sight,
        references::{self, Readiness},
        run::{self, Stage, Wanted},
        settings::ClusterSettings,
        users,
    },
    resource::{Kind, Resource},
};

/// Conditions of a TrainingJob, in the order in which they come true.
pub const CONDITIONS: [Type; 13] = [
    Type::Accepted,
    Type::DatasetReady,
    Type::ModelReady,
    Type::QuotaReserved,
    Type::Suspended,
    Type::Admitted,
    Type::PodsReady,
    Type::Running,
    Type::Checkpointed,
    Type::Degraded,
    Type::Complete,
    Type::Failed,
    Type::Deleting,
];

/// The controller's name in `spec.managedBy`.
const CONTROLLER: &str = "bedplate.dev/operator";

/// Whether this operator is the one to act: another controller's jobs are left alone entirely.
pub fn is_ours(spec: &TrainingJobSpec) -> bool {
    spec.managed_by.as_deref().is_none_or(|name| name == CONTROLLER)
}

/// What is to be done, and what the status says.
pub fn decide(
    resource: &Resource<TrainingJobSpec>,
    owner: &Owner,
    observed: &Observed<TrainingJobStatus>,
    settings: &ClusterSettings,
) -> Decision<TrainingJobStatus> {
    let mut status = observed.previous.clone().unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&CONDITIONS, &before, owner.generation, observed.now);
    let view = JobView::new(owner, observed.job.as_ref(), &observed.pods, &names::job(Kind::TrainingJob, &owner.name));
    let capabilities = observed.capabilities;
    let is_leaving = owner.deleting_since.is_some();
    let around = Surroundings { settings, dependencies: &observed.dependencies, capabilities, is_leaving };
    let children = children::children(resource, owner, around);
    status.observed_generation = Some(owner.generation);
    status.start_time = view.start_time().or(status.start_time.take());
    if is_leaving {
        return depart(resource, owner, observed, (status, conditions, view, children.as_ref().ok()));
    }
    let is_done = conditions.was_true(Type::Complete) || view.state() == JobState::Complete;
    let blocker = if is_done {
        tell_of_end(&mut conditions, &resource.spec.model);
        None
    } else {
        blocker(&mut conditions, (resource, owner), children.as_ref(), (observed, &view))
    };
    let sight = Sight { wanted: resource.spec.parallelism.data, warnings: &observed.warnings, now: observed.now };
    let failed_before = conditions.cause(Type::Failed);
    let wanted = Wanted {
        children: children.as_ref().ok(),
        blocker: blocker.as_ref(),
        failed_before: failed_before.as_ref(),
        is_done,
        is_redone: false,
    };
    let stage = run::stage(&view, wanted, sight);
    let actions = run::actions(owner, &view, wanted, observed.config_map.as_ref());
    let stage = run::refused(stage, &view, &actions, observed.child_refused.as_ref());
    run::set_conditions(&mut conditions, &stage, &view, sight.wanted);
    conditions.set(Type::Deleting, false, Reason::NotRequested, "nobody deletes it");
    figures::fill(&mut status, &resource.spec, observed, (&view, &stage));
    tell_of_figures(&mut conditions, &status, &stage, &view);
    (status.phase, status.reason) = (Some(phase(&stage)), Some(run::reason(&stage)));
    let adjust_job = adjustment(owner, &resource.spec, (&view, &stage), refills(observed, &status));
    let expiry = expiry(resource, observed, &status, &stage);
    let (next, notes) = conditions.finish();
    status.conditions = next;
    let requeue_after = run::requeue_after(&stage, &actions);
    Decision {
        adjust_job,
        notes,
        delete_resource: expiry.is_some_and(|left| left.is_zero()),
        requeue_after: expiry.filter(|left| !left.is_zero()).map_or(requeue_after, |left| left.min(requeue_after)),
        ..Decision::new(status, actions.delete, actions.apply, requeue_after)
    }
}

type Found<'a> = (TrainingJobStatus, Conditions<'a>, JobView<'a>, Option<&'a JobChildren>);

fn depart(
    resource: &Resource<TrainingJobSpec>,
    owner: &Owner,
    observed: &Observed<TrainingJobStatus>,
    (mut status, mut conditions, view, children): Found<'_>,
) -> Decision<TrainingJobStatus> {
    let has_files = status.start_time.is_some() || observed.job.is_some();
    let departure = Departure { owner, children, has_files, metadata: &resource.metadata };
    let removal = departure::step(&departure, observed, view);
    conditions.repeat();
    departure::tell(&mut conditions, &removal);
    (status.phase, status.reason) = (Some(TrainingJobPhase::Deleting), Some(removal.waits_for.reason));
    let (next, notes) = conditions.finish();
    status.conditions = next;
    removal.into_decision(status, notes)
}

/// Sets the conditions from `Accepted` to `Suspended`, and finds the first cause that keeps the pods from being made.
fn blocker(
    conditions: &mut Conditions<'_>,
    (resource, owner): (&Resource<TrainingJobSpec>, &Owner),
    children: Result<&JobChildren, &ChildrenError>,
    (observed, view): (&Observed<TrainingJobStatus>, &JobView<'_>),
) -> Option<Blocker> {
    let spec = &resource.spec;
    let refused = acceptance::accept(conditions, children.err(), owner, observed.now);
    let has_begun = view.state() == JobState::Live;
    let waits = await_inputs(conditions, spec, &observed.dependencies, has_begun);
    let queue = match &spec.queue_name {
        None => "the spec names no queue".to_owned(),
        Some(queue) => format!("nothing in this installation serves queue {queue}: the job does not wait for it"),
    };
    conditions.set(Type::QuotaReserved, true, Reason::NotRequested, queue);
    let missing = children
        .ok()
        .and_then(|children| gate::missing_claim(&children.claims, &observed.claims, &resource.metadata.namespace));
    suspension(conditions, spec.suspend, view).or(refused).or(waits).or(missing)
}

fn suspension(conditions: &mut Conditions<'_>, is_asked: bool, view: &JobView<'_>) -> Option<Blocker> {
    if !is_asked {
        conditions.set(Type::Suspended, false, Reason::NotRequested, "spec.suspend is false");
        return None;
    }
    let message = if view.is_active() {
        "held back by spec.suspend: its pods write a checkpoint and stop"
    } else {
        "held back by spec.suspend; set it to false to go on"
    };
    conditions.set(Type::Suspended, true, Reason::Suspended, message);
    Some(Blocker { reason: Reason::Suspended, message: message.to_owned() })
}

/// Whether the data and the model are there. A job that has begun has them.
fn await_inputs(
    conditions: &mut Conditions<'_>,
    spec: &TrainingJobSpec,
    dependencies: &[Dependency],
    has_begun: bool,
) -> Option<Blocker> {
    let of_kind = |kind| dependencies.iter().filter(move |dependency| references::key(dependency).kind == kind);
    let data = if has_begun { None } else { of_kind(Kind::Dataset).find_map(wait) };
    match &data {
        Some(wait) => conditions.set(Type::DatasetReady, false, wait.reason, &wait.message),
        None => conditions.set(Type::DatasetReady, true, Reason::DatasetReady, "every Dataset has its shards"),
    }
    let model = if has_begun { None } else { of_kind(Kind::TrainingJob).find_map(wait) };
    match (&model, &spec.model) {
        (Some(wait), _) => conditions.set(Type::ModelReady, false, wait.reason, &wait.message),
        (None, ModelSource::Config { .. }) => {
            conditions.set(Type::ModelReady, true, Reason::NotRequested, "the model is made from spec.model.config");
        }
        (None, ModelSource::TrainingJob { .. } | ModelSource::Uri { .. }) => {
            conditions.set(Type::ModelReady, true, Reason::ModelReady, "the trainer reads the model when it starts");
        }
    }
    data.or(model)
}

fn wait(dependency: &Dependency) -> Option<Blocker> {
    let waiting = match references::key(dependency).kind {
        Kind::Dataset => Reason::WaitingForDataset,
        Kind::TrainingJob | Kind::ModelDeployment => Reason::WaitingForModel,
    };
    match references::readiness(dependency) {
        Readiness::Ready(_) => None,
        Readiness::Missing(message) => Some(Blocker { reason: Reason::ReferenceNotFound, message }),
        Readiness::Waiting(message) | Readiness::Failed(message) => Some(Blocker { reason: waiting, message }),
    }
}

/// What was waited for is of no more interest; it may even be gone.
fn tell_of_end(conditions: &mut Conditions<'_>, model: &ModelSource) {
    let done = "everything asked for was done";
    conditions.set(Type::Accepted, true, Reason::Accepted, done);
    conditions.set(Type::DatasetReady, true, Reason::DatasetReady, done);
    let of_model = match model {
        ModelSource::Config { .. } => Reason::NotRequested,
        ModelSource::TrainingJob { .. } | ModelSource::Uri { .. } => Reason::ModelReady,
    };
    conditions.set(Type::ModelReady, true, of_model, done);
    conditions.set(Type::QuotaReserved, true, Reason::NotRequested, done);
    conditions.set(Type::Suspended, false, Reason::NotRequested, done);
}

fn tell_of_figures(conditions: &mut Conditions<'_>, status: &TrainingJobStatus, stage: &Stage, view: &JobView<'_>) {
    match &status.checkpoint {
        Some(checkpoint) => {
            let message = format!("step {} is durable: a restart goes on from there", checkpoint.step);
            conditions.set(Type::Checkpointed, true, Reason::Checkpointed, message);
        }
        None => conditions.set(
            Type::Checkpointed,
            false,
            Reason::NoCheckpoint,
            "no checkpoint was reported: a restart begins at the first step",
        ),
    }
    match stage {
        // Some of its pods run and some do not: those that run wait for the others.
        Stage::Starting(blocker) if view.ready() > 0 => {
            conditions.set(Type::Degraded, true, blocker.reason, &blocker.message);
        }
        _ => conditions.set(Type::Degraded, false, Reason::AsExpected, "no pod waits for another"),
    }
}

fn phase(stage: &Stage) -> TrainingJobPhase {
    match stage {
        Stage::Complete => TrainingJobPhase::Complete,
        Stage::Failed(_) => TrainingJobPhase::Failed,
        Stage::Running => TrainingJobPhase::Running,
        Stage::Blocked(blocker) if blocker.reason == Reason::Suspended => TrainingJobPhase::Suspended,
        Stage::Blocked(_) => TrainingJobPhase::Pending,
        Stage::Starting(blocker) => match blocker.reason {
            Reason::InsufficientResources | Reason::QuotaExceeded | Reason::WaitingForQuota => TrainingJobPhase::Queued,
            _ => TrainingJobPhase::Starting,
        },
    }
}

/// Whether a checkpoint that was not known before is durable now: what failed before it no longer counts.
fn refills(observed: &Observed<TrainingJobStatus>, status: &TrainingJobStatus) -> bool {
    let step = |of: Option<&TrainingJobStatus>| {
        of.and_then(|status| status.checkpoint.as_ref()).map(|checkpoint| checkpoint.step)
    };
    step(Some(status)) > step(observed.previous.as_ref())
}

/// The change to the Job that exists, if it needs one: held back or not, and how often it may fail from here on.
fn adjustment(
    owner: &Owner,
    spec: &TrainingJobSpec,
    (view, stage): (&JobView<'_>, &Stage),
    refills: bool,
) -> Option<JobAdjustment> {
    if view.state() != JobState::Live {
        return None;
    }
    let suspend = spec.suspend && *stage != Stage::Complete;
    let ranks = i32::try_from(spec.parallelism.data).unwrap_or(i32::MAX);
    let budget = view.failed().saturating_add(RESTART_BUDGET.saturating_mul(ranks));
    let backoff_limit = if refills { budget.max(view.backoff_limit()) } else { view.backoff_limit() };
    let is_other = suspend != view.is_suspended() || backoff_limit != view.backoff_limit();
    is_other.then(|| JobAdjustment { name: names::job(Kind::TrainingJob, &owner.name), suspend, backoff_limit })
}

/// Time left after its end; none where nothing deletes it. What others use stays.
fn expiry(
    resource: &Resource<TrainingJobSpec>,
    observed: &Observed<TrainingJobStatus>,
    status: &TrainingJobStatus,
    stage: &Stage,
) -> Option<std::time::Duration> {
    if !matches!(stage, Stage::Complete | Stage::Failed(_)) {
        return None;
    }
    let seconds = resource.spec.ttl_seconds_after_finished?;
    let end: Timestamp = status.completion_time.as_ref()?.0;
    if !users::of(Kind::TrainingJob, &resource.metadata, &observed.referrers).is_empty() {
        return None;
    }
    let ttl = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let left = ttl.saturating_sub(observed.now.duration_since(end));
    Some(left.try_into().unwrap_or_default())
}
