//! Everything that pods have reported, in one place: the latest of each resource, who wants to know, and the way to the history.
//!
//! Owns the resources that may report. Only what the controllers have described is taken, so that nobody makes up a uid.
//! Never asks the API server anything.

mod events;
mod file;
mod live;
mod resource;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt};
use serde_json::Value;
use tokio::{
    sync::{broadcast, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::BroadcastStream;

use self::{file::Spool, resource::Reported};
use super::{snapshot::ProgressSnapshot, v1alpha1::Reporter};
use crate::{
    resource::{Kind, ResourceKey},
    store::{Artefact, Store},
};

/// Notifications that a slow subscriber may be behind: more resources than one operator is for.
const CHANGES: usize = 4096;
/// How often pending notifications and the spool are looked at: a second more or less is not seen.
const TICK: Duration = Duration::from_secs(1);

/// Where the history goes.
#[derive(Clone, Debug)]
pub enum HistorySource {
    /// Nowhere: reports are taken for the status alone.
    None,
    /// Into this store, whenever it is there.
    Store(watch::Receiver<Option<Store>>),
}

/// What the controllers say of a resource, so that its pods may report.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Uid of the resource.
    pub uid: String,
    /// Kind, namespace and name.
    pub key: ResourceKey,
    /// The spec.
    pub spec: Value,
    /// The job file.
    pub job: Value,
    /// What it consumes, where that is known: the lineage's input edges.
    pub inputs: Vec<Artefact>,
}

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// The controllers have not seen the resource (yet), or it is gone.
    #[error("the resource with uid {uid} is not known here; try again later")]
    Unknown {
        /// The uid.
        uid: String,
    },
    /// The uid is that of another resource.
    #[error("uid {uid} is not that of {claimed}")]
    OtherName {
        /// The uid.
        uid: String,
        /// What the caller says it is.
        claimed: String,
    },
    /// The resource reports too often.
    #[error("{key} reports too often; wait a second between reports")]
    TooMany {
        /// The resource.
        key: ResourceKey,
    },
}

/// The latest of every resource. Clones share it.
#[derive(Clone, Debug)]
pub struct ProgressHub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resources: Mutex<HashMap<String, Arc<Reported>>>,
    history: HistorySource,
    spool: Spool,
    changes: broadcast::Sender<ResourceKey>,
    reports: [AtomicU64; Kind::ALL.len()],
}

impl ProgressHub {
    /// An empty hub. Spawn the future beside it: it tells what changed and drains the spool, and never ends.
    pub fn new(history: HistorySource) -> (Self, impl Future<Output = ()> + Send) {
        let (changes, _) = broadcast::channel(CHANGES);
        let (resources, spool, reports) = (Mutex::default(), Spool::default(), Default::default());
        let hub = Self(Arc::new(Inner { resources, history, spool, changes, reports }));
        (hub.clone(), hub.keep_going())
    }

    /// Lets the pods of a resource report; said again, it replaces what was said before.
    pub fn describe(&self, described: Described) {
        let mut resources = self.0.resources.lock().unwrap_or_else(PoisonError::into_inner);
        match resources.get(&described.uid) {
            Some(known) => known.describe(described),
            None => _ = resources.insert(described.uid.clone(), Arc::new(Reported::new(described))),
        }
    }

    /// Says that no pod of the resource runs any more: whatever attempt has not told its end is closed in the history.
    pub async fn ended(&self, uid: &str) {
        let Some(resource) = self.resource(uid) else { return };
        resource.close().await;
        resource.drain(&self.0.history, &self.0.spool).await;
    }

    /// Says that the resource is gone: as [`Self::ended`], and no report is taken any more.
    pub async fn deleted(&self, uid: &str) {
        let Some(resource) = self.resource(uid) else { return };
        resource.leave();
        self.ended(uid).await;
        if resource.is_drained().await {
            self.forget(uid);
        }
    }

    /// The latest progress of a resource; none where nothing was reported since the operator started.
    pub fn latest(&self, uid: &str) -> Option<ProgressSnapshot> {
        self.resource(uid)?.snapshot()
    }

    /// Which resources have news: at once for what matters, else at most once in 15 s for each.
    pub fn subscribe(&self) -> impl Stream<Item = ResourceKey> + Send + use<> {
        // Who falls behind misses a change, and hears of the resource again with its next one.
        BroadcastStream::new(self.0.changes.subscribe()).filter_map(|change| async { change.ok() })
    }

    /// Events that wait for Postgres.
    pub fn spool_len(&self) -> usize {
        self.0.spool.len()
    }

    /// Reports taken from resources of a kind since the operator started.
    pub fn reports(&self, kind: Kind) -> u64 {
        self.0.reports[kind as usize].load(Ordering::Relaxed)
    }

    /// The line that a progress file is wanted from.
    ///
    /// # Errors
    /// When the resource may not report.
    pub async fn resume(&self, reporter: &Reporter) -> Result<u64, HubError> {
        let resource = self.reporting(reporter)?;
        Ok(resource.resume(&reporter.file, &self.0.history, &self.0.spool).await)
    }

    /// Takes lines of a progress file and says which line comes next.
    ///
    /// # Errors
    /// When the resource may not report.
    pub async fn report(&self, reporter: &Reporter, first_line: u64, lines: &[String]) -> Result<u64, HubError> {
        let resource = self.reporting(reporter)?;
        self.0.reports[resource.key().kind as usize].fetch_add(1, Ordering::Relaxed);
        let taken = resource.report(&reporter.file, (first_line, lines), &self.0.history, &self.0.spool).await;
        if resource.is_due() {
            self.tell(&resource);
        }
        Ok(taken)
    }

    /// The resource of a reporter, if it is what it says and does not report too often.
    fn reporting(&self, reporter: &Reporter) -> Result<Arc<Reported>, HubError> {
        let uid = &reporter.uid;
        let resource = self.resource(uid).filter(|resource| !resource.is_leaving());
        let resource = resource.ok_or_else(|| HubError::Unknown { uid: uid.clone() })?;
        let key = resource.key();
        let claimed = (reporter.kind.as_str(), reporter.namespace.as_str(), reporter.name.as_str());
        if claimed != (key.kind.name(), key.namespace.as_str(), key.name.as_str()) {
            let claimed = format!("{} {}/{}", reporter.kind, reporter.namespace, reporter.name);
            return Err(HubError::OtherName { uid: uid.clone(), claimed });
        }
        if resource.admit() { Ok(resource) } else { Err(HubError::TooMany { key }) }
    }

    fn resource(&self, uid: &str) -> Option<Arc<Reported>> {
        self.0.resources.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn resources(&self) -> Vec<(String, Arc<Reported>)> {
        let resources = self.0.resources.lock().unwrap_or_else(PoisonError::into_inner);
        resources.iter().map(|(uid, resource)| (uid.clone(), resource.clone())).collect()
    }

    fn forget(&self, uid: &str) {
        self.0.resources.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn tell(&self, resource: &Reported) {
        // Fails only where nobody has subscribed.
        let _ = self.0.changes.send(resource.key());
    }

    async fn keep_going(self) {
        // Side by side, so that a Postgres that hangs holds up no notification.
        tokio::join!(self.keep_telling(), self.keep_draining());
    }

    async fn keep_telling(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.resources().iter().filter(|(_, resource)| resource.is_due()).for_each(|(_, due)| self.tell(due));
        }
    }

    async fn keep_draining(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (uid, resource) in self.resources() {
                resource.drain(&self.0.history, &self.0.spool).await;
                if resource.is_leaving() && resource.is_drained().await {
                    self.forget(&uid);
                }
            }
        }
    }
}
