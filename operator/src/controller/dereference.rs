//! From an object of the API server to the value that the pure stages take, and along its references.
//!
//! Owns the conversion. Reads caches only.

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use kube::{ResourceExt, runtime::reflector::Store};

use super::{
    wake::key_of,
    world::{Guarded, World},
};
use crate::{
    model_deployment,
    resource::{Kind, Metadata, Resource, ResourceKey},
    training_job,
};

/// A Dataset as the stages see it.
pub fn dataset(object: &Dataset) -> Resource<bedplate_crds::dataset::DatasetSpec> {
    Resource { metadata: metadata(object), spec: object.spec.clone() }
}

/// A TrainingJob as the stages see it.
pub fn training_job(object: &TrainingJob) -> Resource<bedplate_crds::training_job::TrainingJobSpec> {
    Resource { metadata: metadata(object), spec: object.spec.clone() }
}

/// A ModelDeployment as the stages see it.
pub fn model_deployment(object: &ModelDeployment) -> Resource<bedplate_crds::model_deployment::ModelDeploymentSpec> {
    Resource { metadata: metadata(object), spec: object.spec.clone() }
}

fn metadata<K: kube::Resource>(object: &K) -> Metadata {
    Metadata {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        labels: object.labels().clone(),
        annotations: object.annotations().clone(),
    }
}

/// The resources that refer to this one.
pub fn dependants(world: &World, key: &ResourceKey) -> Vec<ResourceKey> {
    let training_jobs = referring(&world.training_jobs, key, |job| training_job::dependencies(&training_job(job)));
    let deployments = referring(&world.model_deployments, key, |deployment| {
        model_deployment::dependencies(&model_deployment(deployment))
    });
    let training_jobs = training_jobs.into_iter().map(|job| key_of(Kind::TrainingJob, &job));
    training_jobs.chain(deployments.into_iter().map(|deployment| key_of(Kind::ModelDeployment, &deployment))).collect()
}

fn referring<K>(store: &Store<Guarded<K>>, key: &ResourceKey, dependencies: impl Fn(&K) -> Vec<ResourceKey>) -> Vec<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let objects = store.state();
    let readable = objects.iter().filter_map(|object| object.0.as_ref().ok());
    readable.filter(|object| dependencies(object).contains(key)).cloned().collect()
}
