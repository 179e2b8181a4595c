//! What keeps the pods of a resource from being made.
//!
//! Owns the one shape of "not yet, because". Never decides which of two causes is told first: its users ask in order.

use std::time::Duration;

use bedplate_crds::conditions::Reason;
use k8s_openapi::{
    api::core::v1::PersistentVolumeClaim,
    jiff::{SignedDuration, Timestamp},
};

use super::owner::Owner;

/// What is applied together is seen one after the other, within a second or two: so long a name that leads nowhere alarms
/// nobody.
const SETTLE: SignedDuration = SignedDuration::from_secs(5);
/// When to look again then.
pub const WHILE_SETTLING: Duration = Duration::from_secs(5);

/// A cause, in one word and in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Why.
    pub reason: Reason,
    /// The same in one sentence, and what to do.
    pub message: String,
}

/// The first claim that is not there.
pub fn missing_claim(wanted: &[String], present: &[PersistentVolumeClaim], namespace: &str) -> Option<Blocker> {
    let is_there = |name: &String| {
        let of_name = present.iter().find(|claim| claim.metadata.name.as_ref() == Some(name));
        of_name.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none())
    };
    let claim = wanted.iter().find(|name| !is_there(name))?;
    let message = format!(
        "PersistentVolumeClaim {claim} is not in namespace {namespace}; make it with kubectl apply (apiVersion v1, \
         accessModes [ReadWriteOnce] or [ReadWriteMany] for several nodes, resources.requests.storage), and this goes on by \
         itself"
    );
    Some(Blocker { reason: Reason::StorageNotFound, message })
}

/// The cause as it is told of a resource of that age.
pub fn settle(owner: &Owner, now: Timestamp, blocker: Blocker) -> Blocker {
    let is_young = owner.created.is_some_and(|created| now.duration_since(created) < SETTLE);
    if is_young && blocker.reason == Reason::ReferenceNotFound {
        return Blocker { reason: Reason::Pending, ..blocker };
    }
    blocker
}
