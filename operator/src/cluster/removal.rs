//! How a resource goes: its pods are stopped, its files removed, its finalizer taken off.
//!
//! Owns the order and the deadlines. A deletion waits for what uses the resource, as long as it takes; for nothing else
//! longer than its deadline, since a resource that cannot be deleted is worse than a folder that is left.

use std::time::Duration;

use bedplate_crds::conditions::Reason;
use k8s_openapi::{
    api::batch::v1::{Job, JobSpec},
    jiff::{SignedDuration, Timestamp},
};

use super::{
    child::{Child, ChildKind},
    children::JobChildren,
    decision::{Decision, Finalizer, Note},
    gate::Blocker,
    job_view::{JobState, JobView},
    names, objects,
    owner::Owner,
};

/// Seconds the clean-up may take, its pod's start included: removing some thousand files takes seconds, a busy node minutes.
const CLEANUP_SECONDS: i64 = 300;
/// Seconds after which pods that do not end are given up: the longest grace period of a trainer by default, and a minute for
/// kubelet. A node that is gone for good would keep them for ever.
const STOP_SECONDS: i64 = 180;
/// How often to look again where nothing tells of a change.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The next step of a deletion.
#[derive(Debug, PartialEq)]
pub struct Removal {
    /// What becomes of the finalizer.
    pub finalizer: Finalizer,
    /// Objects to delete.
    pub delete: Vec<(ChildKind, String)>,
    /// Objects to apply.
    pub apply: Vec<Child>,
    /// What it waits for.
    pub waits_for: Blocker,
    /// When to look again.
    pub requeue_after: Duration,
}

impl Removal {
    /// As a decision.
    pub fn into_decision<S>(self, status: S, notes: Vec<Note>) -> Decision<S> {
        let decision = Decision::new(status, self.delete, self.apply, self.requeue_after);
        Decision { finalizer: self.finalizer, notes, ..decision }
    }
}

/// What was seen of a resource that is being deleted.
#[derive(Debug)]
pub struct Remains<'a> {
    /// Its Job and pods.
    pub view: JobView<'a>,
    /// Its clean-up.
    pub cleanup: JobView<'a>,
    /// What the API server said when it refused the clean-up.
    pub refused: Option<&'a str>,
    /// The resources that still use it.
    pub users: Vec<String>,
    /// Whether a pod of it ever ran, so that there may be files.
    pub has_files: bool,
    /// Its children as they would be made now; none where its spec or what it refers to is gone.
    pub children: Option<&'a JobChildren>,
    /// Whether the ConfigMap that its pods read is there: it cannot change, and says where its files are.
    pub has_config_map: bool,
    /// A claim that is missing.
    pub missing_claim: Option<Blocker>,
}

/// The next step.
pub fn step(owner: &Owner, remains: &Remains<'_>, now: Timestamp) -> Removal {
    let since = owner.deleting_since.unwrap_or(now);
    if !remains.users.is_empty() {
        let users = remains.users.join(", ");
        return waiting(Reason::InUse, format!("{users} uses it; delete that first, and this goes on by itself"));
    }
    if remains.view.state() != JobState::Absent && !is_late(since, now) {
        return stop(owner);
    }
    if !remains.has_files {
        return gone(Reason::CleaningUp, "nothing of it is left".to_owned());
    }
    if let Some(message) = remains.refused {
        return gone(Reason::CleanupFailed, format!("its files stay on the volume: {message}"));
    }
    match remains.cleanup.state() {
        JobState::Complete => gone(Reason::CleaningUp, "its files are removed".to_owned()),
        JobState::Failed => {
            let said = remains.cleanup.root_failure().map(|failure| failure.message);
            let said = said.unwrap_or_else(|| remains.cleanup.failed_message().to_owned());
            gone(Reason::CleanupFailed, format!("its files stay on the volume: {said}"))
        }
        JobState::Live | JobState::Leaving => removing(),
        JobState::Absent => begin(owner, remains),
    }
}

/// Whether pods that were to stop since then are given up.
pub fn is_late(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) >= SignedDuration::from_secs(STOP_SECONDS)
}

/// Pods get SIGTERM and their grace period.
fn stop(owner: &Owner) -> Removal {
    let mut removal = waiting(Reason::CleaningUp, "its pods are being stopped".to_owned());
    removal.delete.push((ChildKind::Job, names::job(owner.kind, &owner.name)));
    removal
}

fn begin(owner: &Owner, remains: &Remains<'_>) -> Removal {
    let Some(children) = remains.children else {
        return gone(Reason::CleanupFailed, "its files stay on the volume: its spec no longer says where".to_owned());
    };
    if let Some(blocker) = &remains.missing_claim {
        return gone(Reason::CleaningUp, format!("there are no files to remove: {}", blocker.message));
    }
    let mut removal = removing();
    if !remains.has_config_map {
        removal.apply.push(Child::ConfigMap(Box::new(children.config_map.clone())));
    }
    removal.apply.push(Child::Job(Box::new(cleanup_job(owner, children))));
    removal
}

fn removing() -> Removal {
    waiting(Reason::CleaningUp, "its files are being removed".to_owned())
}

fn waiting(reason: Reason, message: String) -> Removal {
    Removal {
        finalizer: Finalizer::Keep,
        delete: Vec::new(),
        apply: Vec::new(),
        waits_for: Blocker { reason, message },
        requeue_after: LOOK_AGAIN,
    }
}

fn gone(reason: Reason, message: String) -> Removal {
    Removal { finalizer: Finalizer::Remove, ..waiting(reason, message) }
}

/// The workload's own pod, told to remove what it wrote.
fn cleanup_job(owner: &Owner, children: &JobChildren) -> Job {
    let mut template = children.job.spec.clone().unwrap_or_default().template;
    if let Some(spec) = &mut template.spec {
        (spec.subdomain, spec.scheduling_group) = (None, None);
        for container in &mut spec.containers {
            container.args.get_or_insert_default().push("--remove".to_owned());
            // Nothing that a workload needs is needed to remove files, and a full cluster must not keep them.
            container.resources = None;
        }
    }
    let spec = JobSpec { active_deadline_seconds: Some(CLEANUP_SECONDS), template, ..JobSpec::default() };
    Job {
        metadata: objects::metadata(owner, names::cleanup_job(owner.kind, &owner.name)),
        spec: Some(spec),
        status: None,
    }
}
