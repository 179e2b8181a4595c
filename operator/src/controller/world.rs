//! The cluster as last seen: one cache a kind of object, each kept by one watch, and whom a change wakes.
//!
//! Owns the watches. What is only compared by version (Services, budgets, gangs) is watched by its metadata alone. Never writes, and never decides: a cache may lag behind, so every decision made from it must be safe to
//! repeat.

use std::{fmt::Debug, sync::Arc};

use bedplate_crds::{dataset::Dataset, model_deployment::ModelDeployment, training_job::TrainingJob};
use bedplate_telemetry::chain::Chain;
use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Service},
    policy::v1::PodDisruptionBudget,
    scheduling::v1beta1::PodGroup,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    core::{DeserializeGuard, NamespaceResourceScope, ObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{
            ObjectRef, Store, store,
            store::{Writer, WriterDropped},
        },
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::wake::{self, Wake};
use crate::{
    cluster::{child::ChildKind, observed::Capabilities},
    resource::ResourceKey,
};

/// Selects what the operator made.
pub const OWN_OBJECTS: &str = "app.kubernetes.io/managed-by=bedplate";
/// Selects what the cluster complains of; there is far more news than complaints.
const WARNINGS: &str = "type=Warning";

/// A resource, or the reason why this build cannot read it: one that a newer chart stored must not hide the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// Metadata of an object whose content nobody here reads.
pub type MetadataOf<K> = PartialObjectMeta<K>;

/// Every cache of one scope.
pub struct World {
    /// Datasets.
    pub datasets: Store<Guarded<Dataset>>,
    /// TrainingJobs.
    pub training_jobs: Store<Guarded<TrainingJob>>,
    /// ModelDeployments.
    pub model_deployments: Store<Guarded<ModelDeployment>>,
    /// Jobs that the operator made.
    pub jobs: Store<Job>,
    /// Pods of those and of the Deployments.
    pub pods: Store<Pod>,
    /// Deployments that the operator made.
    pub deployments: Store<Deployment>,
    /// ConfigMaps that the operator made.
    pub config_maps: Store<ConfigMap>,
    /// Services that the operator made.
    pub services: Store<MetadataOf<Service>>,
    /// PodDisruptionBudgets that the operator made.
    pub budgets: Store<MetadataOf<PodDisruptionBudget>>,
    /// All claims: resources refer to them by name.
    pub claims: Store<PersistentVolumeClaim>,
    /// What the cluster complains of.
    pub warnings: Store<Event>,
    /// Gangs that the operator made, where the cluster has such a kind.
    pub pod_groups: Option<Store<MetadataOf<PodGroup>>>,
}

/// Where the watches look.
#[derive(Clone)]
pub struct Scope {
    /// Client of the API server.
    pub client: Client,
    /// One namespace, or all of them.
    pub namespace: Option<String>,
    /// What the cluster can do.
    pub capabilities: Capabilities,
}

impl World {
    /// Starts every watch in `tasks`; they end with it.
    pub fn watch(scope: &Scope, wake: &Wake, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let (datasets, dataset_writer) = store();
        let (training_jobs, training_job_writer) = store();
        let (model_deployments, model_deployment_writer) = store();
        let (jobs, job_writer) = store();
        let (pods, pod_writer) = store();
        let (deployments, deployment_writer) = store();
        let (config_maps, config_map_writer) = store();
        let (services, service_writer) = store();
        let (budgets, budget_writer) = store();
        let (claims, claim_writer) = store();
        let (warnings, warning_writer) = store();
        let (pod_groups, pod_group_writer) = scope.capabilities.pod_groups.then(store).unzip();
        let world = Arc::new(Self {
            datasets,
            training_jobs,
            model_deployments,
            jobs,
            pods,
            deployments,
            config_maps,
            services,
            budgets,
            claims,
            warnings,
            pod_groups,
        });
        let mut watches = Watches { scope, wake, world: &world, tasks };
        watches.start(dataset_writer, wake::dataset_woken);
        watches.start(training_job_writer, wake::training_job_woken);
        watches.start(model_deployment_writer, wake::model_deployment_woken);
        watches.start(claim_writer, wake::claim_woken);
        watches.start_own(job_writer);
        watches.start_own(pod_writer);
        watches.start_own(deployment_writer);
        watches.start_own(config_map_writer);
        watches.start_own(service_writer);
        watches.start_own(budget_writer);
        watches.start_with(warnings_only(), warning_writer, wake::warning_woken);
        if let Some(writer) = pod_group_writer {
            watches.start_own(writer);
        }
        world
    }

    /// Waits until every cache holds what the cluster holds.
    ///
    /// # Errors
    /// When a watch ended, which happens only at shut-down.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.datasets.wait_until_ready().await?;
        self.training_jobs.wait_until_ready().await?;
        self.model_deployments.wait_until_ready().await?;
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.deployments.wait_until_ready().await?;
        self.config_maps.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.budgets.wait_until_ready().await?;
        self.claims.wait_until_ready().await?;
        self.warnings.wait_until_ready().await?;
        match &self.pod_groups {
            Some(pod_groups) => pod_groups.wait_until_ready().await,
            None => Ok(()),
        }
    }
}

impl World {
    /// Metadata of a child as last seen.
    pub fn metadata(&self, kind: ChildKind, namespace: &str, name: &str) -> Option<ObjectMeta> {
        match kind {
            ChildKind::ConfigMap => metadata_in(&self.config_maps, namespace, name),
            ChildKind::Service => metadata_in(&self.services, namespace, name),
            ChildKind::Job => metadata_in(&self.jobs, namespace, name),
            ChildKind::Deployment => metadata_in(&self.deployments, namespace, name),
            ChildKind::PodDisruptionBudget => metadata_in(&self.budgets, namespace, name),
            ChildKind::PodGroup => metadata_in(self.pod_groups.as_ref()?, namespace, name),
        }
    }
}

fn metadata_in<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<ObjectMeta>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    found(store, namespace, name).map(|object| object.meta().clone())
}

/// The object of that name.
pub fn found<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

/// What the watches have in common.
struct Watches<'a> {
    scope: &'a Scope,
    wake: &'a Wake,
    world: &'a Arc<World>,
    tasks: &'a mut JoinSet<()>,
}

impl Watches<'_> {
    /// Watches every object of a kind.
    fn start<K: Watched>(&mut self, writer: Writer<K>, woken: fn(&World, &K) -> Vec<ResourceKey>) {
        self.start_with(watcher::Config::default(), writer, woken);
    }

    /// Watches those that the operator made.
    fn start_own<K: Watched>(&mut self, writer: Writer<K>) {
        self.start_with(watcher::Config::default().labels(OWN_OBJECTS), writer, wake::owner_woken);
    }

    fn start_with<K: Watched>(
        &mut self,
        config: watcher::Config,
        writer: Writer<K>,
        woken: fn(&World, &K) -> Vec<ResourceKey>,
    ) {
        let api = self.scope.api::<K>();
        let (world, mut wake) = (self.world.clone(), self.wake.clone());
        let url = api.resource_url().to_owned();
        let mut touched = watcher(api, config)
            .default_backoff()
            .modify(|object: &mut K| object.managed_fields_mut().clear())
            .reflect(writer)
            .touched_objects()
            .boxed();
        self.tasks.spawn(async move {
            while let Some(touched) = touched.next().await {
                match touched {
                    Ok(object) => wake.all(woken(&world, &object)).await,
                    Err(error) => tracing::warn!(error = %Chain(&error), url, "a watch was cut; it goes on"),
                }
            }
        });
    }
}

fn warnings_only() -> watcher::Config {
    watcher::Config::default().fields(WARNINGS)
}

impl Scope {
    /// The objects of a kind in this scope.
    fn api<K: Watched>(&self) -> Api<K> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// What a watch can hold.
trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}
impl<K> Watched for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}
