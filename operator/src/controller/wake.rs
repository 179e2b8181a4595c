//! Who is to be looked at again: from an object that changed to the resources that it matters to.
//!
//! Owns the queues in front of the reconcilers and the maps into them. A resource that waits in a queue twice is looked at
//! once: the scheduler behind each queue merges equal requests.

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use futures::{SinkExt, channel::mpsc};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use super::{
    dereference,
    world::{Guarded, World},
};
use crate::{
    cluster::names::{KIND_LABEL, NAME_LABEL},
    resource::{Kind, ResourceKey},
};

/// Wake-ups that may wait in front of one kind's scheduler, which takes them as fast as they come; a full queue makes the
/// watches wait, and then nothing is lost either.
const QUEUE_CAPACITY: usize = 1024;

/// The ends of the queues that watches write to.
#[derive(Clone)]
pub struct Wake {
    queues: [mpsc::Sender<ResourceKey>; 3],
}

/// The ends that the reconcilers read from, in the order of [`Kind::ALL`].
pub type Queues = [mpsc::Receiver<ResourceKey>; 3];

impl Wake {
    /// One queue a kind.
    pub fn new() -> (Self, Queues) {
        let [first, second, third] = Kind::ALL.map(|_| mpsc::channel(QUEUE_CAPACITY));
        (Self { queues: [first.0, second.0, third.0] }, [first.1, second.1, third.1])
    }

    /// Asks for a look at each of them.
    pub async fn all(&mut self, keys: Vec<ResourceKey>) {
        for key in keys {
            // Closed only at shut-down, and then nobody is to be woken any more.
            let _ = self.queues[key.kind as usize].send(key).await;
        }
    }
}

/// The resource that an object was made for, from its labels.
pub fn owner_woken<K: Resource>(_: &World, object: &K) -> Vec<ResourceKey> {
    let label = |name: &str| object.labels().get(name).map(String::as_str);
    let kind = Kind::ALL.into_iter().find(|kind| Some(kind.name()) == label(KIND_LABEL));
    let (Some(kind), Some(name), Some(namespace)) = (kind, label(NAME_LABEL), object.namespace()) else {
        return Vec::new();
    };
    vec![ResourceKey { kind, namespace, name: name.to_owned() }]
}

/// A Dataset, and whoever waits for it.
pub fn dataset_woken(world: &World, dataset: &Guarded<Dataset>) -> Vec<ResourceKey> {
    with_dependants(world, key_of(Kind::Dataset, dataset))
}

/// A TrainingJob, and whoever waits for it.
pub fn training_job_woken(world: &World, job: &Guarded<TrainingJob>) -> Vec<ResourceKey> {
    with_dependants(world, key_of(Kind::TrainingJob, job))
}

/// A ModelDeployment: nobody waits for one.
pub fn model_deployment_woken(_: &World, deployment: &Guarded<ModelDeployment>) -> Vec<ResourceKey> {
    vec![key_of(Kind::ModelDeployment, deployment)]
}

/// Every resource beside the claim. Claims change rarely, and a look that finds nothing new writes nothing.
pub fn claim_woken(world: &World, claim: &PersistentVolumeClaim) -> Vec<ResourceKey> {
    let namespace = claim.namespace().unwrap_or_default();
    let datasets = world.datasets.state().into_iter().map(|object| key_of(Kind::Dataset, &*object));
    let training_jobs = world.training_jobs.state().into_iter().map(|object| key_of(Kind::TrainingJob, &*object));
    let deployments = world.model_deployments.state().into_iter().map(|object| key_of(Kind::ModelDeployment, &*object));
    datasets.chain(training_jobs).chain(deployments).filter(|key| key.namespace == namespace).collect()
}

/// The resource whose Job, ReplicaSet or pod is complained of.
pub fn warning_woken(world: &World, warning: &Event) -> Vec<ResourceKey> {
    let about = &warning.involved_object;
    let (Some(kind), Some(name), Some(namespace)) = (&about.kind, &about.name, &about.namespace) else {
        return Vec::new();
    };
    let found = match kind.as_str() {
        "Job" => world.jobs.get(&ObjectRef::new(name).within(namespace)).map(|job| owner_woken(world, &*job)),
        "Pod" => world.pods.get(&ObjectRef::new(name).within(namespace)).map(|pod| owner_woken(world, &*pod)),
        "ReplicaSet" => deployment_of(name)
            .and_then(|deployment| world.deployments.get(&ObjectRef::new(deployment).within(namespace)))
            .map(|deployment| owner_woken(world, &*deployment)),
        _ => None,
    };
    found.unwrap_or_default()
}

/// The Deployment of a ReplicaSet: its name and a hash of the pod template, as the Deployment controller makes it.
pub fn deployment_of(replica_set: &str) -> Option<&str> {
    replica_set.rsplit_once('-').map(|(deployment, _)| deployment)
}

/// Kind, namespace and name of an object.
pub fn key_of<K: Resource>(kind: Kind, object: &K) -> ResourceKey {
    ResourceKey { kind, namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn with_dependants(world: &World, key: ResourceKey) -> Vec<ResourceKey> {
    let mut keys = dereference::dependants(world, &key);
    keys.push(key);
    keys
}
