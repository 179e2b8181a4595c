//! What was seen of a resource and of all around it, as its decision takes it.
//!
//! Owns the way from the caches to [`Observed`]. Never asks the API server: a reconcile that finds nothing new costs no request.

use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt, runtime::reflector::Store};

use super::{
    context::{Context, Reconciled},
    dereference,
    wake::{self, key_of},
    world::{Guarded, World, found},
};
use crate::{
    cluster::names,
    cluster::observed::{Dependency, Observed, Referrer, Warning},
    resource::{AnyResource, Kind, ResourceKey},
};

/// Everything that a decision about `object` depends on.
pub fn observe<K: Reconciled>(context: &Context, object: &K, resource: &AnyResource) -> Observed<K::Status>
where
    K::Status: Clone,
{
    let world = &*context.world;
    let key = key_of(K::KIND, object);
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    let cleanup = names::cleanup_job(K::KIND, name);
    Observed {
        now: Timestamp::now(),
        previous: object.status().cloned(),
        config_map: found(&world.config_maps, namespace, &names::config_map(K::KIND, name))
            .map(|object| (*object).clone()),
        job: found(&world.jobs, namespace, &names::job(K::KIND, name)).map(|object| (*object).clone()),
        cleanup: found(&world.jobs, namespace, &cleanup).map(|object| (*object).clone()),
        child_refused: context.memory.refused_child(&key),
        cleanup_refused: context.memory.refusal(&key, &cleanup),
        deployment: found(&world.deployments, namespace, &names::deployment(name)).map(|object| (*object).clone()),
        pods: pods(world, &key),
        claims: in_namespace(&world.claims, namespace),
        dependencies: resource.dependencies().into_iter().map(|key| dependency(world, key)).collect(),
        referrers: referrers(world, &key),
        warnings: warnings(world, &key),
        progress: context.progress.latest(object.meta().uid.as_deref().unwrap_or_default()),
        capabilities: context.capabilities,
    }
}

fn pods(world: &World, key: &ResourceKey) -> Vec<Pod> {
    let pods = world.pods.state();
    pods.iter().filter(|pod| wake::owner_woken(world, &***pod).contains(key)).map(|pod| (**pod).clone()).collect()
}

fn in_namespace<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>, namespace: &str) -> Vec<K> {
    let objects = store.state();
    objects
        .iter()
        .filter(|object| object.namespace().as_deref() == Some(namespace))
        .map(|object| (**object).clone())
        .collect()
}

/// One that this build cannot read is as good as missing; its own reconcile says why.
fn dependency(world: &World, key: ResourceKey) -> Dependency {
    let dependency = match key.kind {
        Kind::Dataset => readable(&world.datasets, &key).map(|found| Dependency::Dataset(Box::new(found))),
        Kind::TrainingJob => readable(&world.training_jobs, &key).map(|found| Dependency::TrainingJob(Box::new(found))),
        Kind::ModelDeployment => None,
    };
    dependency.unwrap_or(Dependency::Missing(key))
}

/// The resource of that key, unless this build cannot read it.
pub fn readable<K>(store: &Store<Guarded<K>>, key: &ResourceKey) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    found(store, &key.namespace, &key.name)?.0.as_ref().ok().cloned()
}

fn referrers(world: &World, key: &ResourceKey) -> Vec<Referrer> {
    let keys = dereference::dependants(world, key);
    let referrer = |key: ResourceKey| match key.kind {
        Kind::Dataset => None,
        Kind::TrainingJob => readable(&world.training_jobs, &key).map(|found| Referrer::TrainingJob(Box::new(found))),
        Kind::ModelDeployment => {
            readable(&world.model_deployments, &key).map(|found| Referrer::ModelDeployment(Box::new(found)))
        }
    };
    keys.into_iter().filter_map(referrer).collect()
}

/// Complaints about the resource's Jobs, ReplicaSets and pods, newest last.
fn warnings(world: &World, key: &ResourceKey) -> Vec<Warning> {
    let events = world.warnings.state();
    let ours = events.iter().filter(|event| wake::warning_woken(world, event).contains(key));
    let mut warnings: Vec<Warning> = ours.map(|event| warning(event)).collect();
    warnings.sort_by_key(|warning| warning.time);
    warnings
}

fn warning(event: &Event) -> Warning {
    let about = &event.involved_object;
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let made = event.creation_timestamp().map(|time| time.0);
    Warning {
        kind: about.kind.clone().unwrap_or_default(),
        name: about.name.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        time: series.or(last).or(first).or(made).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
