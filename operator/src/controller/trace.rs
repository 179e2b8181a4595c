//! The trace that a resource belongs to: its own, or that of what it is made from.
//!
//! Owns the way along the references, so that one trace leads from the shards of a Dataset through the steps of a training run to
//! the answers of the model that came of it. Reads caches only.

use kube::core::ObjectMeta;

use super::{
    context::{Context, Reconciled},
    dereference,
    observe::readable,
    wake::key_of,
    world::World,
};
use crate::{
    cluster::owner::Owner,
    resource::{AnyResource, Kind, ResourceKey, TRACEPARENT_ANNOTATION},
};

/// Longest way that is followed: a job that starts from a job that starts from the first one never runs.
const MAX_STEPS: usize = 32;

/// The resource as the owner of its children, in the trace that it belongs to.
pub fn owner<K: Reconciled>(context: &Context, object: &K) -> Owner {
    let owner = Owner::new(K::KIND, object.meta());
    let traceparent = traceparent(&context.world, &key_of(K::KIND, object)).or(owner.traceparent);
    Owner { traceparent, ..owner }
}

/// W3C trace context of a resource: what it is annotated with, or else that of the first resource it refers to, or else its own.
/// None where there is no such resource, or this build cannot read it.
pub fn traceparent(world: &World, key: &ResourceKey) -> Option<String> {
    let mut traceparent = None;
    let mut next = find(world, key);
    for _ in 0..MAX_STEPS {
        let Some((own, resource)) = next else { break };
        if let Some(annotated) = resource.metadata().annotations.get(TRACEPARENT_ANNOTATION) {
            return Some(annotated.clone());
        }
        traceparent = own.or(traceparent);
        next = resource.dependencies().first().and_then(|key| find(world, key));
    }
    traceparent
}

/// A resource, and the trace of its own.
fn find(world: &World, key: &ResourceKey) -> Option<(Option<String>, AnyResource)> {
    let own = |metadata: &ObjectMeta| Owner::new(key.kind, metadata).traceparent;
    match key.kind {
        Kind::Dataset => readable(&world.datasets, key)
            .map(|found| (own(&found.metadata), AnyResource::Dataset(dereference::dataset(&found)))),
        Kind::TrainingJob => readable(&world.training_jobs, key)
            .map(|found| (own(&found.metadata), AnyResource::TrainingJob(Box::new(dereference::training_job(&found))))),
        Kind::ModelDeployment => readable(&world.model_deployments, key)
            .map(|found| (own(&found.metadata), AnyResource::ModelDeployment(dereference::model_deployment(&found)))),
    }
}
