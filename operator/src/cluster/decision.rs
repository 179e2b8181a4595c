//! What the loop is to do about a resource, and what its status is to say.
//!
//! Owns the shape of the answer. The loop carries it out in the order of the fields.

use std::time::Duration;

use bedplate_crds::conditions::Reason;
use serde::Serialize;

use super::child::{Child, ChildKind};

/// One answer. Carried out in the order of the fields; whatever fails is tried again with a new answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision<S> {
    /// Whether the resource carries Bedplate's finalizer; settled before anything is applied, or removed after the status.
    pub finalizer: Finalizer,
    /// Objects to delete, in the background; a pod has its grace period. Gone already is as good.
    pub delete: Vec<(ChildKind, String)>,
    /// Objects to apply, in this order.
    pub apply: Vec<Child>,
    /// The one change to the Job that exists, as a merge patch.
    pub adjust_job: Option<JobAdjustment>,
    /// The status, whole; not written where it equals the one that was read.
    pub status: S,
    /// What became true just now, for people: Events on the resource.
    pub notes: Vec<Note>,
    /// Whether to delete the resource itself: its time after its end is over.
    pub delete_resource: bool,
    /// When to look again though nothing was seen to change.
    pub requeue_after: Duration,
}

impl<S> Decision<S> {
    /// One that keeps the finalizer and changes no Job.
    pub fn new(status: S, delete: Vec<(ChildKind, String)>, apply: Vec<Child>, requeue_after: Duration) -> Self {
        Self {
            finalizer: Finalizer::Keep,
            delete,
            apply,
            adjust_job: None,
            status,
            notes: Vec::new(),
            delete_resource: false,
            requeue_after,
        }
    }
}

/// What becomes of Bedplate's finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Finalizer {
    /// It is there or is added before anything is applied.
    Keep,
    /// Everything is cleaned up: it is removed, and the resource goes.
    Remove,
}

/// The finalizer of every resource.
pub const FINALIZER: &str = "bedplate.dev/cleanup";

/// Fields of a Job that may change while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobAdjustment {
    /// Name of the Job.
    pub name: String,
    /// `spec.suspend`.
    pub suspend: bool,
    /// `spec.backoffLimit`.
    pub backoff_limit: i32,
}

/// One Event on the resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Whether somebody has to do something.
    pub is_warning: bool,
    /// Reason: the same word as in the condition.
    pub reason: Reason,
    /// What happened and what to do.
    pub message: String,
}
