//! What every reconcile needs, and how a decision is carried out.
//!
//! Owns the order of the writes: finalizer, deletions, children, status, news, and last the release. Any of them may be the
//! last one that an operator made: the next reconcile starts from what is there, so each is safe to repeat.

use std::{fmt::Debug, sync::Arc, time::Duration};

use bedplate_crds::conditions::Reason;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::{NamespaceResourceScope, object::HasStatus},
    runtime::controller::Action,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use super::{
    answer::Answer,
    apply::{Applier, ApplyError},
    events::Events,
    fence::EPOCH_ANNOTATION,
    finalizer,
    memory::Memory,
    metrics::Metrics,
    status,
    wake::key_of,
    world::World,
};
use crate::{
    cluster::{
        child::ChildKind,
        decision::{Decision, Finalizer, Note},
        names,
        observed::{Capabilities, ChildRefused},
        settings::ClusterSettings,
    },
    progress_api::hub::ProgressHub,
    resource::Kind,
};

/// Shortest wait before another look: whatever a decision asks for, no resource keeps the operator busy by itself.
const MIN_REQUEUE: Duration = Duration::from_secs(1);
/// Longest life of a deleted resource whose clean-up cannot be written: then it goes all the same, for somebody waits for it.
/// What a clean-up that was written may take, the decision bounds.
const RELEASE_DEADLINE: Duration = Duration::from_secs(600);

/// A kind that is reconciled.
pub trait Reconciled:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Serialize + PartialEq + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which of the kinds.
    const KIND: Kind;
}

/// Everything that reconciles share in one term of office.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// What was seen.
    pub world: Arc<World>,
    /// What children are made with.
    pub settings: ClusterSettings,
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// Writes children.
    pub applier: Applier,
    /// Writes events.
    pub events: Events,
    /// Counts.
    pub metrics: Metrics,
    /// What pods report.
    pub progress: ProgressHub,
    /// What is known from earlier reconciles.
    pub memory: Memory,
    /// Set when another operator turns out to lead.
    pub fenced: CancellationToken,
}

/// Why a reconcile did not reach its end. Another one follows, later each time.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A child could not be written or deleted.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The finalizer could not be added or removed.
    #[error("could not change metadata.finalizers")]
    Finalizer(#[source] Answer),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] Answer),
    /// The resource could not be deleted after its time.
    #[error("could not delete the resource, whose time after its end is over")]
    Delete(#[source] Answer),
    /// The API server did not answer in time.
    #[error("the reconcile took longer than {seconds} s and was given up; is the API server overloaded?")]
    Late {
        /// The bound.
        seconds: u64,
    },
    /// A defect.
    #[error("the reconcile ended by a panic: {message}; please report it")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl Context {
    /// Does what was decided.
    ///
    /// # Errors
    /// At the first write that fails; what was written stays, and the status is written in any case.
    pub async fn carry_out<K: Reconciled>(
        &self,
        object: &K,
        decision: Decision<K::Status>,
    ) -> Result<Action, ReconcileError> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let is_deleted = object.meta().deletion_timestamp.is_some();
        self.fence(object).await.inspect_err(|error| self.stop_if_fenced(error))?;
        if decision.finalizer == Finalizer::Keep && !is_deleted && !finalizer::is_set(object) {
            finalizer::add(&api, object).await.map_err(|error| ReconcileError::Finalizer(Answer(error)))?;
        }
        let written = self.write_children(object, &decision).await;
        if let Err(ReconcileError::Apply(error)) = &written {
            self.stop_if_fenced(error);
        }
        // News is told before the status that ends it: cut off between the two, the next look tells the same again.
        for note in &decision.notes {
            self.events.tell(&object.object_ref(&()), note).await;
        }
        status::write(self, &api, object, &decision.status)
            .await
            .map_err(|error| ReconcileError::Status(Answer(error)))?;
        let is_stuck = written.is_err() && self.is_overdue(object).await;
        if decision.finalizer == Finalizer::Remove || is_stuck {
            // On the heap: rare and large, it would make every reconcile's future as large.
            Box::pin(self.release(&api, object)).await?;
            return Ok(Action::await_change());
        }
        written?;
        if decision.delete_resource && !is_deleted {
            delete(&api, object).await.map_err(|error| ReconcileError::Delete(Answer(error)))?;
        }
        Ok(Action::requeue(decision.requeue_after.max(MIN_REQUEUE)))
    }

    async fn write_children<K: Reconciled>(
        &self,
        object: &K,
        decision: &Decision<K::Status>,
    ) -> Result<(), ReconcileError> {
        let namespace = object.namespace().unwrap_or_default();
        for (kind, name) in &decision.delete {
            self.applier.delete(&self.world, &namespace, *kind, name).await?;
        }
        for child in &decision.apply {
            if let Err(error) = self.applier.apply(&self.world, &namespace, child).await {
                self.refused(object, child.kind(), child.name(), &error).await;
                return Err(error.into());
            }
        }
        self.memory.children_taken(&key_of(K::KIND, object));
        if let Some(adjustment) = &decision.adjust_job {
            self.applier.adjust(&self.world, &namespace, adjustment).await?;
        }
        Ok(())
    }

    /// Fails where a child of the resource shows that another operator has acted since. A number that no operator wrote is
    /// put right and told: whoever may write a child may write it, and no more comes of it.
    async fn fence<K: Reconciled>(&self, object: &K) -> Result<(), ApplyError> {
        let key = key_of(K::KIND, object);
        let children = [
            (ChildKind::ConfigMap, names::config_map(key.kind, &key.name)),
            (ChildKind::Job, names::job(key.kind, &key.name)),
            (ChildKind::Deployment, names::deployment(&key.name)),
        ];
        for (kind, name) in children {
            let Some(live) = self.world.metadata(kind, &key.namespace, &name) else { continue };
            let is_own =
                live.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == object.meta().uid.as_ref());
            if is_own && self.applier.claim(&key.namespace, kind, &name, &live).await? {
                let message = format!(
                    "{name} claimed to be written by a later operator, but this one leads: {EPOCH_ANNOTATION} is put right; \
                     who changes it?"
                );
                let note = Note { is_warning: true, reason: Reason::InfrastructureFailed, message };
                self.events.tell(&object.object_ref(&()), &note).await;
            }
        }
        Ok(())
    }

    fn stop_if_fenced(&self, error: &ApplyError) {
        if matches!(error, ApplyError::Fenced { .. }) {
            self.fenced.cancel();
        }
    }

    /// Tells why a child is not there, and remembers it for the next decision.
    async fn refused<K: Reconciled>(&self, object: &K, kind: ChildKind, name: &str, error: &ApplyError) {
        let key = key_of(K::KIND, object);
        match error.cause() {
            // The next status tells it, once, in a condition and an event.
            Some(cause) => self.memory.child_refused(&key, ChildRefused { kind, name: name.to_owned(), cause }),
            None => {
                let message = bedplate_telemetry::chain::Chain(error).to_string();
                let note = Note { is_warning: true, reason: Reason::InfrastructureFailed, message };
                self.events.tell(&object.object_ref(&()), &note).await;
            }
        }
        if let (ChildKind::Job, Some(refusal)) = (kind, error.refusal()) {
            self.memory.refused(&key, name, refusal);
        }
    }

    /// Whether a deleted resource has waited for too long.
    async fn is_overdue<K: Reconciled>(&self, object: &K) -> bool {
        let Some(since) = &object.meta().deletion_timestamp else { return false };
        let waited = Timestamp::now().duration_since(since.0).unsigned_abs();
        if waited < RELEASE_DEADLINE || !finalizer::is_set(object) {
            return false;
        }
        let minutes = RELEASE_DEADLINE.as_secs() / 60;
        let message = format!(
            "clean-up could not be begun within {minutes} min; what is left on the volume is to be removed by hand"
        );
        let note = Note { is_warning: true, reason: Reason::InfrastructureFailed, message };
        self.events.tell(&object.object_ref(&()), &note).await;
        true
    }

    /// The history is told first: with the finalizer goes the last reason to look at the resource.
    async fn release<K: Reconciled>(&self, api: &Api<K>, object: &K) -> Result<(), ReconcileError> {
        self.progress.deleted(object.meta().uid.as_deref().unwrap_or_default()).await;
        finalizer::remove(api, object).await.map_err(|error| ReconcileError::Finalizer(Answer(error)))?;
        let key = key_of(K::KIND, object);
        self.applier.forget(&key.namespace, object.meta().uid.as_deref().unwrap_or_default());
        self.memory.forget(&key);
        self.metrics.forget(&key);
        Ok(())
    }
}

async fn delete<K: Reconciled>(api: &Api<K>, object: &K) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: object.uid(), resource_version: None };
    match api.delete(&object.name_any(), &DeleteParams::background().preconditions(preconditions)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop),
    }
}
