//! The children of a TrainingJob: a ConfigMap with its job file, a headless Service where its ranks meet, one Indexed Job
//! with a pod for each rank, and a PodGroup where the cluster has them.

use bedplate_crds::training_job::{ModelSource, TrainingJobSpec};
use k8s_openapi::api::{
    core::v1::{PodSchedulingGroup, PodTemplateSpec, Service, ServicePort, ServiceSpec},
    scheduling::v1beta1::{GangSchedulingPolicy, PodGroup, PodGroupSchedulingPolicy, PodGroupSpec},
};

use crate::{
    cluster::{
        children::{ChildrenError, JobChildren, traced},
        failure_policy, names,
        objects::{self, JobPlan},
        observed::{Capabilities, Dependency},
        owner::Owner,
        place::Place,
        pod::{self, PodPlan},
        references,
        resources::Resources,
        settings::ClusterSettings,
    },
    references::References,
    resource::{Kind, Resource},
};

/// Port of rank 0 where the others meet it (the port of `torchrun`'s rendezvous, which people's network policies know).
const RENDEZVOUS_PORT: u16 = 29_400;
/// Enough to finish a step and write a checkpoint of some gigabytes; `podTemplate` gives larger models more.
const GRACE_SECONDS: i64 = 120;

/// What surrounds a TrainingJob.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The installation.
    pub settings: &'a ClusterSettings,
    /// The resources it refers to.
    pub dependencies: &'a [Dependency],
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// Whether the job is being deleted: what it refers to may be gone, and its own files are still to be found.
    pub is_leaving: bool,
}

/// The children.
///
/// # Errors
/// What is refused of the spec, or a reference that leads nowhere.
pub fn children(
    resource: &Resource<TrainingJobSpec>,
    owner: &Owner,
    around: Surroundings<'_>,
) -> Result<JobChildren, ChildrenError> {
    let spec = &resource.spec;
    let settings = around.settings;
    let resources = Resources::new(&settings.pod_defaults.trainer, &spec.workers.resources_per_node);
    let mut place = Place::new(owner, settings, &resources);
    let name = names::job(Kind::TrainingJob, &owner.name);
    let namespace = &resource.metadata.namespace;
    place.layout.rendezvous = Some(format!("{name}-0.{name}.{namespace}.svc:{RENDEZVOUS_PORT}"));
    place.layout.rendezvous_token = Some(settings.job_key.token(&owner.uid));
    place.write_to(spec.storage.as_ref());
    let references = if around.is_leaving {
        let wanted = crate::training_job::dependencies(resource);
        References::located(wanted.into_iter().map(|key| (key, None)), &place.layout)
    } else {
        references::of(around.dependencies, &mut place)
    };
    let traced = Resource { metadata: traced(&resource.metadata, owner), spec: spec.clone() };
    let job_file = crate::training_job::job(&traced, &references, &place.layout)?;
    if let ModelSource::Uri { uri } = &spec.model {
        place.read_uri("spec.model.uri", uri)?;
    }
    let is_gang = around.capabilities.pod_groups && spec.parallelism.data > 1;
    let mut template = {
        let (place, resources) = (&place, &resources);
        PodPlan { owner, settings, place, resources, grace_seconds: GRACE_SECONDS, restarts: false }.template()
    };
    join(&mut template, &name, is_gang);
    pod::finish(&mut template, spec.pod_template.as_ref())?;
    let ranks = i32::try_from(spec.parallelism.data).unwrap_or(i32::MAX);
    let plan = JobPlan {
        name,
        ranks,
        template,
        pod_failure_policy: Some(failure_policy::policy(names::component(Kind::TrainingJob), &spec.failure_policy)),
        spec_hash: spec_hash(spec),
    };
    Ok(JobChildren {
        config_map: objects::config_map(owner, settings, &job_file, true),
        service: Some(service(owner)),
        pod_group: is_gang.then(|| pod_group(owner, ranks)),
        job: objects::job(owner, plan),
        claims: place.claims().into_iter().map(str::to_owned).collect(),
    })
}

/// Hash of the part of the spec that the Job is made from: what holds it back or removes it changes no pod.
fn spec_hash(spec: &TrainingJobSpec) -> String {
    objects::spec_hash(&TrainingJobSpec {
        suspend: false,
        ttl_seconds_after_finished: None,
        queue_name: None,
        managed_by: None,
        ..spec.clone()
    })
}

/// Gives the pods their host names below the Service, and their place in the gang.
fn join(template: &mut PodTemplateSpec, name: &str, is_gang: bool) {
    if let Some(spec) = &mut template.spec {
        spec.subdomain = Some(name.to_owned());
        spec.scheduling_group = is_gang.then(|| PodSchedulingGroup { pod_group_name: Some(name.to_owned()) });
    }
}

/// Without an address of its own: a name for each rank, known before the rank is ready, since it is not ready before it has
/// met the others.
fn service(owner: &Owner) -> Service {
    let port =
        ServicePort { name: Some("rendezvous".to_owned()), port: RENDEZVOUS_PORT.into(), ..ServicePort::default() };
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        selector: Some(names::selector_labels(owner.kind, &owner.name)),
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    let metadata = objects::metadata(owner, names::service(owner.kind, &owner.name));
    Service { metadata, spec: Some(spec), status: None }
}

/// All ranks at once or none (KEP-4671): half a job would hold its nodes and wait for ever.
fn pod_group(owner: &Owner, ranks: i32) -> PodGroup {
    let gang = GangSchedulingPolicy { min_count: ranks };
    let spec = PodGroupSpec {
        scheduling_policy: PodGroupSchedulingPolicy { gang: Some(gang), basic: None },
        ..PodGroupSpec::default()
    };
    PodGroup { metadata: objects::metadata(owner, names::job(owner.kind, &owner.name)), spec, status: None }
}
