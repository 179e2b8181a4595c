//! The course of a Job from "not yet" to its end, for Datasets and TrainingJobs alike.
//!
//! Owns where a run stands, what is to be done about its Job, and the conditions that follow. Never knows a kind's own
//! figures.

use std::time::Duration;

use bedplate_crds::conditions::{ConditionType as Type, Reason};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};

use super::{
    child::{Child, ChildKind},
    children::JobChildren,
    conditions::{Conditions, Truth},
    gate::{self, Blocker},
    job_view::{JobState, JobView},
    names,
    observed::ChildRefused,
    owner::Owner,
    pods::{self, Sight},
};

/// A resource is written at most so often while its figures change, so that many jobs do not wear out the API server.
pub const REPORT_INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// When to look again while pods run: their figures come with no watch.
pub const WHILE_RUNNING: Duration = Duration::from_secs(15);
/// When to look again while something is missing: a safety net below the watches.
pub const WHILE_WAITING: Duration = Duration::from_secs(60);
/// When to look again at what is over: the same net, seldom.
pub const WHEN_OVER: Duration = Duration::from_secs(600);
/// When to look again after something was deleted that is to be made anew.
const AFTER_DELETION: Duration = Duration::from_secs(2);

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its pods may not be made.
    Blocked(Blocker),
    /// Its pods may be made, but do not all run.
    Starting(Blocker),
    /// All its pods run.
    Running,
    /// It is done.
    Complete,
    /// It ended early for good.
    Failed(Blocker),
}

/// What is asked of a run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its children as they would be made now.
    pub children: Option<&'a JobChildren>,
    /// What keeps it from starting.
    pub blocker: Option<&'a Blocker>,
    /// How it had failed at the reconcile before: its pods, which tell, may be gone.
    pub failed_before: Option<&'a Blocker>,
    /// Whether it was done at the reconcile before: it stays so when its Job goes.
    pub is_done: bool,
    /// Whether one that is done is made again when its spec changes.
    pub is_redone: bool,
}

/// What to delete and what to apply.
#[derive(Debug, Default, PartialEq)]
pub struct Actions {
    /// Objects to delete.
    pub delete: Vec<(ChildKind, String)>,
    /// Objects to apply.
    pub apply: Vec<Child>,
    /// When to look again, if soon.
    pub pause: Option<Duration>,
}

impl Wanted<'_> {
    /// Whether the Job was made from another spec and is to be made anew.
    pub fn is_outdated(&self, view: &JobView<'_>) -> bool {
        let may_go = match view.state() {
            JobState::Absent | JobState::Leaving => false,
            JobState::Live | JobState::Failed => self.blocker.is_none() && !self.is_done,
            JobState::Complete => self.blocker.is_none() && self.is_redone,
        };
        may_go && self.children.is_some_and(|children| view.is_outdated(children.spec_hash()))
    }

    /// What keeps it from running. Once a Job is at work only `spec.suspend` does: it has all that it needs.
    fn hold<'a>(&'a self, view: &JobView<'_>) -> Option<&'a Blocker> {
        let is_live = view.state() == JobState::Live;
        self.blocker.filter(|blocker| !is_live || blocker.reason == Reason::Suspended)
    }

    /// Whether it is done and stays so.
    fn is_over(&self, view: &JobView<'_>) -> bool {
        match view.state() {
            JobState::Complete => !self.is_outdated(view),
            _ => self.is_done,
        }
    }
}

/// Where it stands.
pub fn stage(view: &JobView<'_>, wanted: Wanted<'_>, sight: Sight<'_>) -> Stage {
    if wanted.is_over(view) {
        return Stage::Complete;
    }
    let is_outdated = wanted.is_outdated(view);
    if view.state() == JobState::Failed && !is_outdated {
        return Stage::Failed(end(view, wanted.failed_before));
    }
    if let Some(blocker) = wanted.hold(view) {
        return Stage::Blocked(blocker.clone());
    }
    let starting = |message: String| Stage::Starting(Blocker { reason: Reason::PodsStarting, message });
    match view.state() {
        _ if is_outdated => starting("the spec has changed: the run before it is being stopped".to_owned()),
        JobState::Leaving => starting("pods of the run before are being stopped".to_owned()),
        JobState::Absent => starting("the pods are being made".to_owned()),
        _ if view.ready().saturating_add(view.succeeded()) >= sight.wanted => Stage::Running,
        _ => Stage::Starting(hold_up(view, sight)),
    }
}

/// Where it stands when the API server refused something of what is to be applied. That is applied again all the same: what
/// was in the way may be gone.
pub fn refused(stage: Stage, view: &JobView<'_>, actions: &Actions, refused: Option<&ChildRefused>) -> Stage {
    match (stage, refused.and_then(|refused| refused.among(&actions.apply))) {
        (Stage::Starting(_), Some(cause)) if view.state() == JobState::Absent => Stage::Blocked(cause.clone()),
        (Stage::Starting(_), Some(cause)) => Stage::Starting(cause.clone()),
        (stage, _) => stage,
    }
}

/// Why pods that may run do not: what is wrong with them, or what ended the ones before, or nothing but time.
fn hold_up(view: &JobView<'_>, sight: Sight<'_>) -> Blocker {
    if let Some(trouble) = pods::trouble(view.pods(), sight) {
        return Blocker { reason: trouble.reason, message: trouble.message };
    }
    let ready = view.ready().saturating_add(view.succeeded());
    match view.root_failure() {
        // Kubernetes has yet to hear of an end that no restart can mend.
        Some(failure) if failure.is_of_user() => Blocker { reason: failure.reason, message: failure.message },
        Some(failure) => Blocker { reason: failure.reason, message: format!("starting again: {}", failure.message) },
        None => {
            Blocker { reason: Reason::PodsStarting, message: format!("{ready} of {} pods are ready", sight.wanted) }
        }
    }
}

/// Why it ended early, and how to have it tried again where that may help.
fn end(view: &JobView<'_>, before: Option<&Blocker>) -> Blocker {
    let failure = view.root_failure();
    if let (None, Some(before)) = (&failure, before) {
        return before.clone();
    }
    let last = failure.as_ref().map_or(view.failed_message(), |failure| failure.message.as_str());
    let again = format!("to try again as it is: kubectl delete job {}", view.name());
    if view.is_budget_spent() {
        let message = format!("gave up after {} failures, the last one: {last}; {again}", view.failed());
        return Blocker { reason: Reason::RestartBudgetSpent, message };
    }
    match &failure {
        Some(failure) if failure.is_of_user() => Blocker { reason: failure.reason, message: last.to_owned() },
        Some(failure) => Blocker { reason: failure.reason, message: format!("{last}; {again}") },
        None => Blocker { reason: Reason::InfrastructureFailed, message: format!("{last}; {again}") },
    }
}

/// What to do about the Job and what it needs. A Job that is there is never applied again: its template cannot change, and a
/// newer operator must not disturb what runs.
pub fn actions(owner: &Owner, view: &JobView<'_>, wanted: Wanted<'_>, config_map: Option<&ConfigMap>) -> Actions {
    let Some(children) = wanted.children else { return Actions::default() };
    let map = (ChildKind::ConfigMap, names::config_map(owner.kind, &owner.name));
    if wanted.is_outdated(view) {
        let job = (ChildKind::Job, names::job(owner.kind, &owner.name));
        return Actions { delete: vec![job, map], apply: Vec::new(), pause: Some(AFTER_DELETION) };
    }
    if wanted.is_over(view) || wanted.hold(view).is_some() {
        return Actions::default();
    }
    let is_other = config_map.is_some_and(|present| present.data != children.config_map.data);
    match view.state() {
        JobState::Absent if is_other => Actions { delete: vec![map], apply: Vec::new(), pause: Some(AFTER_DELETION) },
        JobState::Absent => Actions { apply: children.all(), ..Actions::default() },
        JobState::Live => Actions { apply: repairs(children, config_map), ..Actions::default() },
        JobState::Leaving => Actions { pause: Some(AFTER_DELETION), ..Actions::default() },
        JobState::Complete | JobState::Failed => Actions::default(),
    }
}

/// What a running Job needs and somebody may have deleted.
fn repairs(children: &JobChildren, config_map: Option<&ConfigMap>) -> Vec<Child> {
    let map = config_map.is_none().then(|| Child::ConfigMap(Box::new(children.config_map.clone())));
    let service = children.service.clone().map(|service| Child::Service(Box::new(service)));
    map.into_iter().chain(service).collect()
}

/// The conditions that both kinds have in common from `Admitted` on.
pub fn set_conditions(conditions: &mut Conditions<'_>, stage: &Stage, view: &JobView<'_>, wanted: u32) {
    let ready = format!("{} of {wanted} pods are ready or done", view.ready().saturating_add(view.succeeded()));
    match stage {
        Stage::Blocked(blocker) => {
            conditions.set(Type::Admitted, false, blocker.reason, &blocker.message);
            set_idle(conditions, blocker);
        }
        Stage::Starting(blocker) => {
            conditions.set(Type::Admitted, true, Reason::Admitted, "the pods may be made");
            set_idle(conditions, blocker);
        }
        Stage::Running => {
            conditions.set(Type::Admitted, true, Reason::Admitted, "the pods may be made");
            conditions.set(Type::PodsReady, true, Reason::PodsReady, ready);
            conditions.set(Type::Running, true, Reason::Running, "every pod runs");
        }
        Stage::Complete => {
            conditions.set(Type::Admitted, true, Reason::Admitted, "the pods may be made");
            for of in [Type::PodsReady, Type::Running] {
                conditions.set(of, false, Reason::Completed, "everything asked for was done");
            }
        }
        Stage::Failed(blocker) => {
            conditions.set(Type::Admitted, true, Reason::Admitted, "the pods may be made");
            set_idle(conditions, blocker);
        }
    }
    set_end(conditions, stage);
}

fn set_idle(conditions: &mut Conditions<'_>, blocker: &Blocker) {
    for of in [Type::PodsReady, Type::Running] {
        conditions.set(of, false, blocker.reason, &blocker.message);
    }
}

fn set_end(conditions: &mut Conditions<'_>, stage: &Stage) {
    let (complete, failed) = match stage {
        Stage::Complete => {
            let done = "everything asked for was done";
            ((Truth::True, Reason::Completed, done.to_owned()), (Truth::False, Reason::Completed, done.to_owned()))
        }
        Stage::Failed(blocker) => {
            let end = |truth| (truth, blocker.reason, blocker.message.clone());
            (end(Truth::False), end(Truth::True))
        }
        Stage::Blocked(_) | Stage::Starting(_) | Stage::Running => {
            let open = || (Truth::False, Reason::NotFinished, "it has not ended".to_owned());
            (open(), open())
        }
    };
    conditions.set(Type::Complete, complete.0, complete.1, complete.2);
    conditions.set(Type::Failed, failed.0, failed.1, failed.2);
}

/// The reason that the printer column shows.
pub fn reason(stage: &Stage) -> Reason {
    match stage {
        Stage::Blocked(blocker) | Stage::Starting(blocker) | Stage::Failed(blocker) => blocker.reason,
        Stage::Running => Reason::Running,
        Stage::Complete => Reason::Completed,
    }
}

/// When to look again though no watch tells of a change.
pub fn requeue_after(stage: &Stage, actions: &Actions) -> Duration {
    actions.pause.unwrap_or(match stage {
        Stage::Running => WHILE_RUNNING,
        Stage::Blocked(blocker) if blocker.reason == Reason::Pending => gate::WHILE_SETTLING,
        Stage::Starting(_) | Stage::Blocked(_) => WHILE_WAITING,
        Stage::Complete | Stage::Failed(_) => WHEN_OVER,
    })
}

/// Whether figures that were reported then are written now, if the ones that stand there were reported before.
pub fn is_due(before: Option<&Time>, reported: Option<&Time>) -> bool {
    match (before, reported) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(reported)) => reported.0.duration_since(before.0) >= REPORT_INTERVAL,
    }
}
