//! The children of a ModelDeployment: a ConfigMap with its job file, a Deployment, a Service and a PodDisruptionBudget.

use std::collections::BTreeMap;

use bedplate_crds::{
    job::InferenceJob,
    model_deployment::{ModelDeploymentSpec, ServedModel},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodTemplateSpec, Probe, Service,
            ServicePort, ServiceSpec, SleepAction,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use crate::{
    cluster::{
        child::Child,
        children::{ChildrenError, traced},
        names, objects,
        observed::Dependency,
        owner::Owner,
        place::{CACHE_FOLDER, GRPC_PORT, HTTP_PORT, Place},
        pod::{self, PodPlan},
        references,
        resources::Resources,
        settings::ClusterSettings,
    },
    layout::progress_file,
    resource::{Kind, Resource},
};

/// Annotation of a pod: hash of what it was made from, the model's content included.
pub const REVISION_ANNOTATION: &str = "bedplate.dev/revision";
/// Port of the Service: clients write no port.
const SERVICE_PORT: i32 = 80;
/// Seconds a pod that is to end still takes requests: so long kube-proxy may take to hear of it on every node.
const LAME_DUCK_SECONDS: i64 = 5;
/// The above, 25 s for requests under way (`inference/src/serve.rs`), and some to spare before SIGKILL.
const GRACE_SECONDS: i64 = 40;
/// A small model answers within a second or two of its start; nobody is to wait longer for it than that.
const PROBE_PERIOD_SECONDS: i32 = 2;
/// A model of some hundred gigabytes is read, or fetched from a hub, for an hour at most.
const STARTUP_FAILURES: i32 = 1800;
/// The same hour, and a minute to be placed and to get the image: until then Kubernetes does not call a rollout stuck.
const PROGRESS_DEADLINE_SECONDS: i32 = STARTUP_FAILURES * PROBE_PERIOD_SECONDS + 60;
/// ReplicaSets of earlier revisions that are kept: nothing goes back to one, since an earlier spec makes it anew.
const REVISION_HISTORY_LIMIT: i32 = 0;
/// A minute without an answer: the process hangs, and only a new one helps.
const LIVENESS_PERIOD_SECONDS: i32 = 10;
const LIVENESS_FAILURES: i32 = 6;
/// Seconds a probe waits: a machine under full load may take several.
const PROBE_TIMEOUT_SECONDS: i32 = 5;

/// The children, and what they say of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChildren {
    /// All of them, each after what it needs.
    pub all: Vec<Child>,
    /// Claims that the pods mount.
    pub claims: Vec<String>,
    /// Hash of what a pod is made from.
    pub revision: String,
    /// Name the endpoint answers to.
    pub served_model_name: String,
}

/// The children; `model_digest` is the digest of the model where it is known.
///
/// # Errors
/// What is refused of the spec, or a reference that leads nowhere.
pub fn children(
    resource: &Resource<ModelDeploymentSpec>,
    owner: &Owner,
    (settings, dependencies): (&ClusterSettings, &[Dependency]),
    model_digest: Option<&str>,
) -> Result<ModelChildren, ChildrenError> {
    let spec = &resource.spec;
    let resources = Resources::new(&settings.pod_defaults.inference, &spec.resources);
    let mut place = Place::new(owner, settings, &resources);
    let references = references::of(dependencies, &mut place);
    let traced = Resource { metadata: traced(&resource.metadata, owner), spec: spec.clone() };
    let mut job_file = crate::model_deployment::job(&traced, &references, &place.layout)?;
    // A server keeps nothing: its events go with its pod.
    job_file.progress_file = progress_file(CACHE_FOLDER.as_ref());
    if let ServedModel::Uri { uri } = &spec.model {
        place.read_uri("spec.model.uri", uri)?;
    }
    let mut template = {
        let (place, resources) = (&place, &resources);
        PodPlan { owner, settings, place, resources, grace_seconds: GRACE_SECONDS, restarts: true }.template()
    };
    if let Some(container) = pod::container_mut(&mut template) {
        serve(container);
    }
    pod::finish(&mut template, spec.pod_template.as_ref())?;
    let revision = objects::spec_hash(&(untraced(&job_file), &template, model_digest));
    annotate(&mut template, &revision);
    let config_map = objects::config_map(owner, settings, &job_file, false);
    Ok(ModelChildren {
        all: vec![
            Child::ConfigMap(Box::new(config_map)),
            Child::Service(Box::new(service(owner))),
            Child::Deployment(Box::new(deployment(spec, owner, template))),
            Child::PodDisruptionBudget(Box::new(disruption_budget(owner))),
        ],
        claims: place.claims().into_iter().map(str::to_owned).collect(),
        revision,
        served_model_name: job_file.served_model_name,
    })
}

/// Without its trace: no pod is replaced because its resource joins another one.
fn untraced(job_file: &InferenceJob) -> InferenceJob {
    let mut job_file = job_file.clone();
    job_file.metadata.traceparent = None;
    job_file
}

fn annotate(template: &mut PodTemplateSpec, revision: &str) {
    let metadata = template.metadata.get_or_insert_default();
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(REVISION_ANNOTATION.to_owned(), revision.to_owned());
}

/// Ports, probes and a quiet end.
fn serve(container: &mut Container) {
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        ..ContainerPort::default()
    };
    container.ports = Some(vec![port("http", HTTP_PORT), port("grpc", GRPC_PORT)]);
    container.startup_probe = Some(probe(PROBE_PERIOD_SECONDS, STARTUP_FAILURES));
    container.readiness_probe = Some(probe(PROBE_PERIOD_SECONDS, 1));
    container.liveness_probe = Some(probe(LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES));
    let sleep = Some(SleepAction { seconds: LAME_DUCK_SECONDS });
    let pre_stop = Some(LifecycleHandler { sleep, ..LifecycleHandler::default() });
    container.lifecycle = Some(Lifecycle { pre_stop, ..Lifecycle::default() });
}

fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    let http_get = HTTPGetAction {
        path: Some("/health".to_owned()),
        port: IntOrString::String("http".to_owned()),
        ..HTTPGetAction::default()
    };
    Probe {
        http_get: Some(http_get),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
        ..Probe::default()
    }
}

fn deployment(spec: &ModelDeploymentSpec, owner: &Owner, template: PodTemplateSpec) -> Deployment {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let rolling_update = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(count(spec.rollout.max_surge))),
        max_unavailable: Some(IntOrString::Int(count(spec.rollout.max_unavailable))),
    };
    let strategy = DeploymentStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling_update) };
    let deployment = DeploymentSpec {
        replicas: Some(count(spec.replicas)),
        selector: selector(owner),
        strategy: Some(strategy),
        progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
        revision_history_limit: Some(REVISION_HISTORY_LIMIT),
        template,
        ..DeploymentSpec::default()
    };
    Deployment { metadata: objects::metadata(owner, names::deployment(&owner.name)), spec: deployment, status: None }
}

fn service(owner: &Owner) -> Service {
    let port = |name: &str, port: i32| ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        selector: Some(selector_labels(owner)),
        ports: Some(vec![port("http", SERVICE_PORT), port("grpc", GRPC_PORT.into())]),
        ..ServiceSpec::default()
    };
    let metadata = objects::metadata(owner, names::service(Kind::ModelDeployment, &owner.name));
    Service { metadata, spec: Some(spec), status: None }
}

/// One pod at a time, the only one included: a drain must come to an end. A pod that does not answer may always go.
fn disruption_budget(owner: &Owner) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selector(owner)),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget {
        metadata: objects::metadata(owner, names::deployment(&owner.name)),
        spec: Some(spec),
        status: None,
    }
}

fn selector_labels(owner: &Owner) -> BTreeMap<String, String> {
    names::selector_labels(owner.kind, &owner.name)
}

fn selector(owner: &Owner) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(owner)), match_expressions: None }
}
