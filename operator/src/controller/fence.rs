//! The fence between two operators that both believe they lead: each child carries the number of the term that wrote it.
//!
//! Owns what a higher number means. Whoever may write a child may write any number into it, so a number only asks the
//! question; the Lease, which the operator's own namespace protects, answers it. What holds then: an operator that was
//! followed by another stops at the first child that the other one wrote, before it writes anything; one that still leads
//! goes on, whatever stands in a child.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, core::ObjectMeta};

use super::{answer::Answer, apply::ApplyError};
use crate::config::LeaderElection;

/// Annotation of a child: the term of office of the operator that wrote it.
pub const EPOCH_ANNOTATION: &str = "bedplate.dev/operator-epoch";

/// The fence of one term.
pub struct Fence {
    leases: Api<Lease>,
    lease: String,
    identity: String,
    epoch: i64,
}

impl Fence {
    /// For the term with that number of the operator of that name.
    pub fn new(client: Client, settings: &LeaderElection, identity: String, epoch: i64) -> Self {
        Self { leases: Api::namespaced(client, &settings.namespace), lease: settings.name.clone(), identity, epoch }
    }

    /// Number of the term.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether a child carries a number that no operator wrote.
    ///
    /// # Errors
    /// When another operator leads, or the Lease cannot be read.
    pub async fn is_forged(&self, name: &str, live: &ObjectMeta) -> Result<bool, ApplyError> {
        let Some(theirs) = number(live).filter(|theirs| *theirs > self.epoch) else { return Ok(false) };
        if self.leads().await? {
            return Ok(true);
        }
        Err(ApplyError::Fenced { name: name.to_owned(), theirs, ours: self.epoch })
    }

    /// Asks the Lease. The answer is never kept: it holds for no longer than others take to follow.
    async fn leads(&self) -> Result<bool, ApplyError> {
        let lease =
            self.leases.get(&self.lease).await.map_err(|source| ApplyError::Lease { source: Answer(source) })?;
        let spec = lease.spec.unwrap_or_default();
        Ok(spec.holder_identity.as_deref() == Some(self.identity.as_str())
            && spec.lease_transitions.map(i64::from) == Some(self.epoch))
    }
}

/// The number in a child, if one stands there.
pub fn number(child: &ObjectMeta) -> Option<i64> {
    child.annotations.as_ref()?.get(EPOCH_ANNOTATION)?.parse().ok()
}
