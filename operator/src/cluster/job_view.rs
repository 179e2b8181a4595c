//! A Job and its pods as one thing: absent, at work, over.
//!
//! Owns what belongs to which Job of one name: the present one, an earlier one whose pods still end, the clean-up. Never
//! decides what follows.

use bedplate_crds::job::termination::TerminationMessage;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    failure::{self, Failure},
    objects::SPEC_ANNOTATION,
    owner::Owner,
    pods,
};

/// Where a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// There is none.
    Absent,
    /// It is being deleted, or it is gone and pods of it still end.
    Leaving,
    /// It is at work or held back.
    Live,
    /// Every pod succeeded.
    Complete,
    /// It will not be tried again.
    Failed,
}

/// A Job and its pods.
#[derive(Debug)]
pub struct JobView<'a> {
    job: Option<&'a Job>,
    pods: Vec<&'a Pod>,
    has_strays: bool,
}

impl<'a> JobView<'a> {
    /// Of all pods of a resource, those of this Job. Pods that a Job of another uid left behind are strays until they are
    /// over; those of the clean-up are nobody's here. A Job of an earlier resource of the same name is leaving.
    pub fn new(owner: &Owner, job: Option<&'a Job>, pods: &'a [Pod], job_name: &str) -> Self {
        let is_earlier = job.is_some_and(|job| is_of_another(job, owner));
        let job = job.filter(|_| !is_earlier);
        let uid = job.and_then(|job| job.metadata.uid.as_deref());
        let of_name = pods.iter().filter(|pod| pods::controller(pod).is_some_and(|owner| owner.name == job_name));
        let (own, strays): (Vec<_>, Vec<_>) =
            of_name.partition(|pod| uid.is_some() && pods::controller(pod).map(|owner| owner.uid.as_str()) == uid);
        Self { job, pods: own, has_strays: is_earlier || strays.iter().any(|pod| !pods::is_over(pod)) }
    }

    /// Where it is.
    pub fn state(&self) -> JobState {
        let Some(job) = self.job else {
            return if self.has_strays { JobState::Leaving } else { JobState::Absent };
        };
        if job.metadata.deletion_timestamp.is_some() {
            JobState::Leaving
        } else if self.condition("Complete").is_some() {
            JobState::Complete
        } else if self.condition("Failed").is_some() {
            JobState::Failed
        } else {
            JobState::Live
        }
    }

    /// Whether it was made from another spec than the one with this hash.
    pub fn is_outdated(&self, spec_hash: &str) -> bool {
        let annotations = self.job.and_then(|job| job.metadata.annotations.as_ref());
        annotations.and_then(|annotations| annotations.get(SPEC_ANNOTATION)).is_some_and(|hash| hash != spec_hash)
    }

    /// Its pods, over or not.
    pub fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().copied()
    }

    /// Pods that do their work.
    pub fn ready(&self) -> u32 {
        let ready = self.pods.iter().filter(|pod| pods::is_ready(pod)).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// Pods that did their work.
    pub fn succeeded(&self) -> u32 {
        let done = self.pods.iter().filter(|pod| pods::has_succeeded(pod)).count();
        u32::try_from(done).unwrap_or(u32::MAX)
    }

    /// Whether any process of it may still run.
    pub fn is_active(&self) -> bool {
        self.has_strays || self.pods.iter().any(|pod| !pods::is_over(pod))
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.job.and_then(|job| job.metadata.name.as_deref()).unwrap_or_default()
    }

    /// Whether it is held back.
    pub fn is_suspended(&self) -> bool {
        self.job.and_then(|job| job.spec.as_ref()).and_then(|spec| spec.suspend).unwrap_or_default()
    }

    /// Failures it may have.
    pub fn backoff_limit(&self) -> i32 {
        self.job.and_then(|job| job.spec.as_ref()).and_then(|spec| spec.backoff_limit).unwrap_or_default()
    }

    /// Failures that were counted.
    pub fn failed(&self) -> i32 {
        self.job.and_then(|job| job.status.as_ref()).and_then(|status| status.failed).unwrap_or_default()
    }

    /// The newest pod of rank 0: where the log is.
    pub fn leader(&self) -> Option<&'a Pod> {
        let first = self.pods.iter().copied().filter(|pod| pods::index(pod).unwrap_or_default() == 0);
        first.max_by_key(|pod| (pods::creation_time(pod), pods::name(pod)))
    }

    /// When the first of its pods started.
    pub fn start_time(&self) -> Option<Time> {
        self.pods.iter().filter_map(|pod| pods::start_time(pod)).min().map(Time)
    }

    /// When it was complete or failed.
    pub fn completion_time(&self) -> Option<Time> {
        let end = self.condition("Complete").or_else(|| self.condition("Failed"))?;
        end.last_transition_time.clone()
    }

    /// What the leader left when it succeeded.
    pub fn result(&self) -> Option<TerminationMessage> {
        let succeeded = self.pods.iter().copied().filter(|pod| pods::index(pod).unwrap_or_default() == 0);
        let ends = succeeded.filter_map(pods::terminated).filter(|end| end.exit_code == 0);
        ends.filter_map(|end| TerminationMessage::from_json(end.message.as_deref()?)).next()
    }

    /// The failure that says most of those seen.
    pub fn root_failure(&self) -> Option<Failure> {
        failure::root(self.pods())
    }

    /// Whether the Job gave up because of too many failures, and not because of one.
    pub fn is_budget_spent(&self) -> bool {
        self.condition("Failed").and_then(|end| end.reason.as_deref()) == Some("BackoffLimitExceeded")
    }

    /// What the Job says of its end.
    pub fn failed_message(&self) -> &str {
        self.condition("Failed").and_then(|end| end.message.as_deref()).unwrap_or_default()
    }

    fn condition(&self, of: &str) -> Option<&'a JobCondition> {
        let conditions = self.job?.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == of && condition.status == "True")
    }
}

fn is_of_another(job: &Job, owner: &Owner) -> bool {
    let owners = job.metadata.owner_references.iter().flatten();
    owners.filter(|reference| reference.controller == Some(true)).any(|reference| reference.uid != owner.uid)
}
