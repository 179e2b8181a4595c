//! Writes children: server-side apply, deletion, and the one change that a running Job allows.
//!
//! Owns what was applied last, so that an object that is as it should be is not written again. Each child carries the number
//! of the term of office that wrote it. Never takes over an object that belongs to somebody else.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bedplate_crds::conditions::Reason;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
    scheduling::v1beta1::PodGroup,
};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions},
    core::{ApiResource, ObjectMeta},
};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    fence::{EPOCH_ANNOTATION, Fence},
    world::World,
};
use crate::cluster::{
    child::{Child, ChildKind},
    decision::JobAdjustment,
    gate::Blocker,
    pods,
};

/// Field manager of everything but the status.
pub const FIELD_MANAGER: &str = "bedplate-operator";

/// Why a child could not be written or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another operator leads by now.
    #[error("{name} was written in term {theirs}, after this operator's term {ours}; it must stop")]
    Fenced {
        /// Name of the child.
        name: String,
        /// Term in its annotation.
        theirs: i64,
        /// Own term.
        ours: i64,
    },
    /// Whether another operator leads cannot be told.
    #[error("could not read the lease, which says whether this operator still leads")]
    Lease {
        /// What the API server said.
        source: Answer,
    },
    /// The name belongs to somebody else.
    #[error("the {kind} {name} exists and is not Bedplate's; delete or rename it, or rename the resource")]
    Taken {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refuses, or is away.
    #[error("could not write the {kind} {name}")]
    Api {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: Answer,
    },
    /// The child does not serialise.
    #[error("could not write the child {name} as JSON")]
    Encode {
        /// Its name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Client errors that say nothing of the object: not logged in, too slow, changed meanwhile, too many requests.
const PASSING: [u16; 4] = [401, 408, 409, 429];

impl ApplyError {
    /// Why the child is not taken as it is, where that is what happened: for the status of its resource.
    pub fn cause(&self) -> Option<Blocker> {
        match self {
            Self::Taken { .. } => Some(Blocker { reason: Reason::InfrastructureFailed, message: self.to_string() }),
            Self::Api { source: Answer(kube::Error::Api(status)), .. }
                if (400..500).contains(&status.code) && !PASSING.contains(&status.code) =>
            {
                let trouble = pods::refusal(&status.message);
                Some(Blocker { reason: trouble.reason, message: trouble.message })
            }
            _ => None,
        }
    }

    /// What the API server said, where it refused for a reason that another attempt does not change.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Api { source: Answer(kube::Error::Api(status)), .. }
                if status.is_forbidden() || status.is_invalid() =>
            {
                Some(status.message.clone())
            }
            _ => None,
        }
    }
}

/// Writes children in one term of office.
pub struct Applier {
    client: Client,
    fence: Fence,
    applied: Mutex<HashMap<Place, Applied>>,
}

/// Kind, namespace and name of a child.
type Place = (String, String, String);

/// What was applied, and what the API server made of it.
struct Applied {
    child: Child,
    version: String,
}

impl Applier {
    /// For the term with that number.
    pub fn new(client: Client, fence: Fence) -> Self {
        Self { client, fence, applied: Mutex::default() }
    }

    /// Makes the child what it should be; true where that took a write.
    ///
    /// # Errors
    /// When another operator leads, when the name is somebody else's, or when the API server refuses.
    pub async fn apply(&self, world: &World, namespace: &str, child: &Child) -> Result<bool, ApplyError> {
        let kind = child.kind();
        let place = (api_resource(kind).kind, namespace.to_owned(), child.name().to_owned());
        let api = self.api(namespace, kind);
        let live = match world.metadata(kind, namespace, child.name()) {
            Some(live) => Some(live),
            // Not ours by its labels, or not in the cache yet: only the API server knows.
            None => self.find(namespace, kind, child.name()).await?,
        };
        if let Some(live) = &live {
            self.check(kind, child, live).await?;
            if self.is_as_applied(&place, child, live) {
                return Ok(false);
            }
        }
        let body = self.body(child)?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(child.name(), &parameters, &Patch::Apply(&body)).await;
        let written = written.map_err(|source| refused(kind, child.name(), source))?;
        let applied = Applied { child: child.clone(), version: version(&written.metadata) };
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).insert(place, applied);
        Ok(true)
    }

    /// Deletes a child in the background, if it is there, ours, and not being deleted yet.
    ///
    /// # Errors
    /// When the API server refuses, or another operator leads.
    pub async fn delete(&self, world: &World, namespace: &str, kind: ChildKind, name: &str) -> Result<(), ApplyError> {
        let Some(live) = world.metadata(kind, namespace, name).filter(|live| live.deletion_timestamp.is_none()) else {
            return Ok(());
        };
        self.fence.is_forged(name, &live).await?;
        // One of the same name that was made meanwhile is another one.
        let preconditions = Preconditions { uid: live.uid, resource_version: None };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match self.api(namespace, kind).delete(name, &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(source) => return Err(refused(kind, name, source)),
        }
        let place = (api_resource(kind).kind, namespace.to_owned(), name.to_owned());
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
        Ok(())
    }

    /// Suspends or resumes a Job and sets its restarts.
    ///
    /// # Errors
    /// When the API server refuses, or another operator leads.
    pub async fn adjust(&self, world: &World, namespace: &str, to: &JobAdjustment) -> Result<(), ApplyError> {
        if let Some(live) = world.metadata(ChildKind::Job, namespace, &to.name) {
            self.fence.is_forged(&to.name, &live).await?;
        }
        let body = json!({"spec": {"suspend": to.suspend, "backoffLimit": to.backoff_limit}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(namespace, ChildKind::Job);
        let patched = api.patch(&to.name, &parameters, &Patch::Merge(&body)).await;
        patched.map(drop).map_err(|source| refused(ChildKind::Job, &to.name, source))
    }

    /// Puts the number of this term into a child where a higher one stands that no operator wrote; true where that was so.
    ///
    /// # Errors
    /// When another operator leads, or the Lease cannot be read.
    pub async fn claim(
        &self,
        namespace: &str,
        kind: ChildKind,
        name: &str,
        live: &ObjectMeta,
    ) -> Result<bool, ApplyError> {
        if !self.fence.is_forged(name, live).await? {
            return Ok(false);
        }
        // The uid makes it fail on another object of the same name.
        let annotations = json!({EPOCH_ANNOTATION: self.fence.epoch().to_string()});
        let body = json!({"metadata": {"uid": live.uid, "annotations": annotations}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        if let Err(error) = self.api(namespace, kind).patch(name, &parameters, &Patch::Merge(&body)).await {
            let error = bedplate_telemetry::chain::Chain(&error);
            tracing::warn!(%error, namespace, name, "a forged number of a term stays in a child");
        }
        Ok(true)
    }

    /// Forgets what was applied for a resource that is gone.
    pub fn forget(&self, namespace: &str, uid: &str) {
        let belongs = |place: &Place, applied: &Applied| {
            let owners = applied.child.metadata().owner_references.iter().flatten();
            place.1 == namespace && owners.into_iter().any(|owner| owner.uid == uid)
        };
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.retain(|place, applied| !belongs(place, applied));
    }

    fn api(&self, namespace: &str, kind: ChildKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &api_resource(kind))
    }

    async fn find(&self, namespace: &str, kind: ChildKind, name: &str) -> Result<Option<ObjectMeta>, ApplyError> {
        let kind_of = api_resource(kind);
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::namespaced_with(self.client.clone(), namespace, &kind_of);
        let found = api.get_opt(name).await.map_err(|source| refused(kind, name, source))?;
        Ok(found.map(|found| found.metadata))
    }

    async fn check(&self, kind: ChildKind, child: &Child, live: &ObjectMeta) -> Result<(), ApplyError> {
        self.fence.is_forged(child.name(), live).await?;
        let owners = |of: &ObjectMeta| -> Vec<String> {
            of.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
        };
        let ours = owners(child.metadata());
        if owners(live).iter().any(|uid| ours.contains(uid)) {
            return Ok(());
        }
        Err(ApplyError::Taken { kind: api_resource(kind).kind, name: child.name().to_owned() })
    }

    fn is_as_applied(&self, place: &Place, child: &Child, live: &ObjectMeta) -> bool {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |applied: &Applied| applied.version == version(live) && applied.child == *child;
        live.deletion_timestamp.is_none() && applied.get(place).is_some_and(is_same)
    }

    fn body(&self, child: &Child) -> Result<Value, ApplyError> {
        let encode = |source| ApplyError::Encode { name: child.name().to_owned(), source };
        let mut body = serde_json::to_value(child).map_err(encode)?;
        let annotations = &mut body["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations[EPOCH_ANNOTATION] = Value::from(self.fence.epoch().to_string());
        Ok(body)
    }
}

/// Changes whenever somebody changes what was applied: the generation counts changes of the spec alone, and what has no
/// generation has no status that changes by itself either.
fn version(metadata: &ObjectMeta) -> String {
    match metadata.generation {
        Some(generation) => format!("{}/{generation}", metadata.uid.as_deref().unwrap_or_default()),
        None => metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn refused(kind: ChildKind, name: &str, source: kube::Error) -> ApplyError {
    ApplyError::Api { kind: api_resource(kind).kind, name: name.to_owned(), source: Answer(source) }
}

fn api_resource(kind: ChildKind) -> ApiResource {
    match kind {
        ChildKind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        ChildKind::Service => ApiResource::erase::<Service>(&()),
        ChildKind::Job => ApiResource::erase::<Job>(&()),
        ChildKind::Deployment => ApiResource::erase::<Deployment>(&()),
        ChildKind::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
        ChildKind::PodGroup => ApiResource::erase::<PodGroup>(&()),
    }
}
