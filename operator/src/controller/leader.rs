//! Which operator of several acts: a Lease of coordination.k8s.io, as client-go's leader election uses it.
//!
//! Owns the Lease. A term has a number, `leaseTransitions`, that counts up: children carry it, so that an operator that
//! was away for longer than it knows finds out that another one has acted since. Clocks of two machines are never compared:
//! a Lease has run out when this process has seen it unchanged for its whole duration.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{PostParams, ResourceExt},
};
use tokio::time::{Instant, sleep, timeout};

use super::epoch;
use crate::config::LeaderElection;

/// Renewals that fit into the time a leader may go without one; several may fail before it gives up.
const RENEWALS_PER_TERM: u32 = 5;

/// Attempts to give a Lease back: one that fails costs the next operator the rest of its duration, and no more.
const RELEASE_ATTEMPTS: u32 = 3;

/// One contender.
pub struct Elector {
    client: Client,
    namespaces: Vec<Option<String>>,
    leases: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
}

/// The Lease in a term of office.
#[derive(Debug)]
pub struct HeldLease {
    /// Number of the term: higher than that of every earlier term of this Lease.
    pub epoch: i64,
    lease: Lease,
}

/// Why the Lease was not taken, renewed or given back.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another operator has it.
    #[error("the lease is held by {holder}")]
    Held {
        /// Identity of the other one.
        holder: String,
    },
    /// The API server refuses, or is away.
    #[error("could not reach the lease; the operator needs get, create and update on leases in its namespace")]
    Api(#[source] kube::Error),
    /// What earlier Leases left cannot be seen.
    #[error("could not list what earlier operators made; the operator needs list on configmaps, jobs and deployments")]
    Children(#[source] kube::Error),
    /// No answer in time.
    #[error("the API server did not answer about the lease in time")]
    Late,
}

impl Elector {
    /// A contender under that name, whose children are in those namespaces; two with the same name would both act.
    pub fn new(client: Client, settings: &LeaderElection, identity: String, namespaces: Vec<Option<String>>) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), &settings.namespace),
            client,
            namespaces,
            name: settings.name.clone(),
            identity,
            duration: Duration::from_secs(settings.lease_seconds.into()),
        }
    }

    /// Waits until this operator leads. May be dropped at any moment.
    pub async fn acquire(&self) -> HeldLease {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            match self.within(self.try_acquire(&mut seen)).await {
                Ok(held) => return held,
                Err(LeaderError::Held { holder }) => tracing::debug!(holder, "another operator leads"),
                Err(error) => {
                    tracing::warn!(error = %bedplate_telemetry::chain::Chain(&error), "cannot stand for leader")
                }
            }
            sleep(self.interval()).await;
        }
    }

    /// Renews until the term is lost. May be dropped at any moment.
    pub async fn hold(&self, held: &mut HeldLease) -> LeaderError {
        let mut renewed = Instant::now();
        loop {
            sleep(self.interval()).await;
            match self.within(self.renew(held)).await {
                Ok(()) => renewed = Instant::now(),
                Err(error @ LeaderError::Held { .. }) => return error,
                // A third of the duration is left for what is being written right now.
                Err(error) if renewed.elapsed() >= self.duration * 2 / 3 => return error,
                Err(error) => {
                    tracing::warn!(error = %bedplate_telemetry::chain::Chain(&error), "cannot renew the lease yet")
                }
            }
        }
    }

    /// Gives the Lease back, so that the next operator need not wait for it to run out.
    ///
    /// # Errors
    /// When somebody else has it by now, or the API server does not answer.
    pub async fn release(&self, held: &mut HeldLease) -> Result<(), LeaderError> {
        let mut attempts = 0;
        loop {
            let mut lease = held.lease.clone();
            lease.spec.get_or_insert_default().holder_identity = None;
            attempts += 1;
            match self.within(self.replace(held, lease)).await {
                // A renewal was cut short whose write took effect: what was found is tried from there.
                Err(LeaderError::Api(_) | LeaderError::Late) if attempts < RELEASE_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    fn interval(&self) -> Duration {
        self.duration * 2 / 3 / RENEWALS_PER_TERM
    }

    async fn within<T>(&self, attempt: impl Future<Output = Result<T, LeaderError>>) -> Result<T, LeaderError> {
        timeout(self.duration / 3, attempt).await.unwrap_or(Err(LeaderError::Late))
    }

    async fn try_acquire(&self, seen: &mut Option<(String, Instant)>) -> Result<HeldLease, LeaderError> {
        let Some(found) = self.leases.get_opt(&self.name).await.map_err(LeaderError::Api)? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let epoch = epoch::first(&self.client, &self.namespaces).await.map_err(LeaderError::Children)?;
            let lease = Lease { metadata, spec: Some(self.spec(epoch)) };
            let lease = self.leases.create(&PostParams::default(), &lease).await.map_err(LeaderError::Api)?;
            return Ok(HeldLease { epoch: epoch.into(), lease });
        };
        self.check_free(&found, seen)?;
        // Counted up for this operator's own return too: a process that died and came back is not the one it was.
        // At the end of the numbers it begins anew: the Lease, not the number, says who leads.
        let last = found.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let epoch = last.checked_add(1).unwrap_or(0);
        let lease = Lease { spec: Some(self.spec(epoch)), ..found };
        let lease = self.leases.replace(&self.name, &PostParams::default(), &lease).await.map_err(LeaderError::Api)?;
        Ok(HeldLease { epoch: epoch.into(), lease })
    }

    /// Fails while another operator's Lease has not been unchanged for its whole duration.
    fn check_free(&self, found: &Lease, seen: &mut Option<(String, Instant)>) -> Result<(), LeaderError> {
        let spec = found.spec.clone().unwrap_or_default();
        let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty() && *holder != self.identity) else {
            return Ok(());
        };
        let version = found.resource_version().unwrap_or_default();
        let since = match seen {
            Some((known, since)) if *known == version => *since,
            _ => seen.insert((version, Instant::now())).1,
        };
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.duration, Duration::from_secs);
        if since.elapsed() < duration { Err(LeaderError::Held { holder }) } else { Ok(()) }
    }

    async fn renew(&self, held: &mut HeldLease) -> Result<(), LeaderError> {
        let mut lease = held.lease.clone();
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        self.replace(held, lease).await
    }

    /// Writes the Lease unless it was changed since; a change by others than another operator is taken up.
    async fn replace(&self, held: &mut HeldLease, lease: Lease) -> Result<(), LeaderError> {
        match self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(lease) => {
                held.lease = lease;
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let found = self.leases.get(&self.name).await.map_err(LeaderError::Api)?;
                let spec = found.spec.clone().unwrap_or_default();
                let holder = spec.holder_identity.unwrap_or_default();
                if holder != self.identity || spec.lease_transitions.map(i64::from) != Some(held.epoch) {
                    return Err(LeaderError::Held { holder });
                }
                // An earlier write of ours whose answer was lost, or a label that somebody added: the next renewal counts.
                held.lease = found;
                Err(LeaderError::Api(kube::Error::Api(status)))
            }
            Err(error) => Err(LeaderError::Api(error)),
        }
    }

    fn spec(&self, epoch: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            lease_transitions: Some(epoch),
            ..LeaseSpec::default()
        }
    }
}
