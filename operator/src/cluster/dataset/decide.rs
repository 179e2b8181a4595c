//! The decision about a Dataset: one Job at a time, made again when what it was made from changes.
//!
//! A finished Dataset whose spec changes is made again, for its digest would say what is no longer so; the stages that
//! nothing changed for are taken from the folder. It waits for TrainingJobs that read the shards. A failed one is made again
//! when its spec changes or somebody deletes its Job.

use bedplate_crds::{
    conditions::{ConditionType as Type, Reason},
    dataset::{
        DatasetSpec,
        status::{DatasetPhase, DatasetStatus, DatasetSummary},
    },
};

use super::children;
use crate::{
    cluster::{
        children::{ChildrenError, JobChildren},
        conditions::Conditions,
        decision::Decision,
        departure::{self, Departure},
        gate::{self, Blocker},
        job_view::{JobState, JobView},
        names,
        observed::Observed,
        owner::Owner,
        pods::Sight,
        run::{self, Stage, Wanted},
        settings::ClusterSettings,
        summary, users,
    },
    resource::{Kind, Resource},
};

/// Conditions of a Dataset, in the order in which they come true.
pub const CONDITIONS: [Type; 7] =
    [Type::Accepted, Type::Admitted, Type::PodsReady, Type::Running, Type::Complete, Type::Failed, Type::Deleting];

/// What is to be done, and what the status says.
pub fn decide(
    resource: &Resource<DatasetSpec>,
    owner: &Owner,
    observed: &Observed<DatasetStatus>,
    settings: &ClusterSettings,
) -> Decision<DatasetStatus> {
    let mut status = observed.previous.clone().unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&CONDITIONS, &before, owner.generation, observed.now);
    let view = JobView::new(owner, observed.job.as_ref(), &observed.pods, &names::job(Kind::Dataset, &owner.name));
    let children = children::children(resource, owner, settings);
    status.observed_generation = Some(owner.generation);
    status.start_time = view.start_time().or(status.start_time.take());
    if owner.deleting_since.is_some() {
        let departure = Departure {
            owner,
            children: children.as_ref().ok(),
            has_files: status.start_time.is_some() || observed.job.is_some(),
            metadata: &resource.metadata,
        };
        let removal = departure::step(&departure, observed, view);
        conditions.repeat();
        departure::tell(&mut conditions, &removal);
        (status.phase, status.reason) = (Some(DatasetPhase::Deleting), Some(removal.waits_for.reason));
        let (next, notes) = conditions.finish();
        status.conditions = next;
        return removal.into_decision(status, notes);
    }
    let users = users::at_work(Kind::Dataset, &resource.metadata, &observed.referrers);
    // With its Job gone, only the generation tells whether the shards are those that the spec asks for.
    let was_current =
        observed.previous.as_ref().and_then(|status| status.observed_generation) == Some(owner.generation);
    let is_done = conditions.was_true(Type::Complete) && view.state() == JobState::Absent && was_current;
    let blocker = blocker(&mut conditions, resource, children.as_ref(), observed)
        .or_else(|| in_use(&users).filter(|_| view.state() == JobState::Absent && !is_done));
    let failed_before = conditions.cause(Type::Failed);
    let wanted = Wanted {
        children: children.as_ref().ok(),
        blocker: blocker.as_ref(),
        failed_before: failed_before.as_ref(),
        is_done,
        is_redone: users.is_empty(),
    };
    let stage = run::stage(&view, wanted, Sight { wanted: 1, warnings: &observed.warnings, now: observed.now });
    let actions = run::actions(owner, &view, wanted, observed.config_map.as_ref());
    let stage = run::refused(stage, &view, &actions, observed.child_refused.as_ref());
    run::set_conditions(&mut conditions, &stage, &view, 1);
    conditions.set(Type::Deleting, false, Reason::NotRequested, "nobody deletes it");
    tell_of_users(&mut conditions, &stage, wanted, &view, &users);
    fill(&mut status, observed, &view, &stage);
    let (next, notes) = conditions.finish();
    status.conditions = next;
    let requeue_after = run::requeue_after(&stage, &actions);
    Decision { notes, ..Decision::new(status, actions.delete, actions.apply, requeue_after) }
}

/// Sets `Accepted`, and finds what keeps the pods from being made.
fn blocker(
    conditions: &mut Conditions<'_>,
    resource: &Resource<DatasetSpec>,
    children: Result<&JobChildren, &ChildrenError>,
    observed: &Observed<DatasetStatus>,
) -> Option<Blocker> {
    match children {
        Ok(children) => {
            conditions.set(Type::Accepted, true, Reason::Accepted, "the spec is valid");
            gate::missing_claim(&children.claims, &observed.claims, &resource.metadata.namespace)
        }
        Err(error) => {
            let (reason, message) = (error.reason(), error.to_string());
            conditions.set(Type::Accepted, false, reason, &message);
            Some(Blocker { reason, message })
        }
    }
}

/// Shards are never written below a job that reads them.
fn in_use(users: &[String]) -> Option<Blocker> {
    let message = || format!("{} reads its shards; they are made anew when that has ended", users.join(", "));
    (!users.is_empty()).then(|| Blocker { reason: Reason::InUse, message: message() })
}

/// A changed spec that has to wait says so.
fn tell_of_users(
    conditions: &mut Conditions<'_>,
    stage: &Stage,
    wanted: Wanted<'_>,
    view: &JobView<'_>,
    users: &[String],
) {
    let would_be_redone = Wanted { is_redone: true, ..wanted }.is_outdated(view);
    if let (Stage::Complete, true, Some(wait)) = (stage, would_be_redone, in_use(users)) {
        conditions.set(Type::Accepted, true, wait.reason, format!("the spec has changed, but {}", wait.message));
    }
}

fn fill(status: &mut DatasetStatus, observed: &Observed<DatasetStatus>, view: &JobView<'_>, stage: &Stage) {
    let is_over = matches!(stage, Stage::Complete | Stage::Failed(_));
    if !is_over {
        (status.digest, status.documents, status.bytes, status.tokens, status.shards) = (None, None, None, None, None);
        status.completion_time = None;
    }
    if let Some(progress) = &observed.progress
        && (is_over || run::is_due(status.reported_time.as_ref(), progress.reported.as_ref()))
    {
        status.stages.clone_from(&progress.stages);
        status.reported_time.clone_from(&progress.reported);
        status.summary = Some(DatasetSummary { progress: present_stage(progress) });
    }
    if is_over {
        status.completion_time = view.completion_time().or(status.completion_time.take());
    }
    if *stage == Stage::Complete {
        fill_result(status, observed, view);
    }
    let summary = status.summary.get_or_insert_with(|| DatasetSummary { progress: summary::UNKNOWN.to_owned() });
    if *stage == Stage::Complete {
        summary.progress = "100%".to_owned();
    }
    status.phase = Some(match stage {
        Stage::Blocked(_) | Stage::Starting(_) => DatasetPhase::Pending,
        Stage::Running => DatasetPhase::Running,
        Stage::Complete => DatasetPhase::Ready,
        Stage::Failed(_) => DatasetPhase::Failed,
    });
    status.reason = Some(run::reason(stage));
}

/// What came out: from the pod's own last message, and only without one from what it reported.
fn fill_result(status: &mut DatasetStatus, observed: &Observed<DatasetStatus>, view: &JobView<'_>) {
    if let Some(result) = view.result() {
        status.digest = result.digest.or(status.digest.take());
        if let Some(totals) = result.dataset {
            status.documents = Some(totals.documents);
            status.bytes = Some(totals.bytes);
            status.tokens = Some(totals.tokens);
            status.shards = Some(totals.shards);
        }
    }
    if status.digest.is_none() {
        status.digest = observed.progress.as_ref().and_then(|progress| progress.completed_digest.clone());
    }
}

fn present_stage(progress: &crate::progress_api::snapshot::ProgressSnapshot) -> String {
    let Some(stage) = progress.stages.last() else { return summary::UNKNOWN.to_owned() };
    match progress.stage_fraction {
        Some(fraction) if fraction.is_finite() => format!("{} {:.0}%", stage.stage, fraction.clamp(0.0, 1.0) * 100.0),
        _ => stage.stage.clone(),
    }
}
