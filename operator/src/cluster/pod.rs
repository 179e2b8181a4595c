//! The pod of a workload: what all three kinds have in common, and the closed list of settings merged over it.
//!
//! Owns the security settings (PodSecurity level `restricted`), the volumes and the environment. Never knows a kind's ports,
//! probes or restarts.

mod overrides;

use bedplate_crds::pod_template::PodTemplate;
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
        PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource, SeccompProfile, SecurityContext,
        ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use overrides::OverrideError;

use super::{
    names,
    owner::Owner,
    place::{self, CACHE_FOLDER, JOB_FILE, JOB_FOLDER, Place, TOKEN_FILE, TOKEN_FOLDER},
    resources::Resources,
    settings::ClusterSettings,
};
use crate::resource::Kind;

/// User and group of every Bedplate process; the images have no other.
const USER_ID: i64 = 65_532;
/// Seconds a token for the progress API is good for; kubelet renews it long before.
const TOKEN_SECONDS: i64 = 3600;

/// What a pod is made from.
#[derive(Debug)]
pub struct PodPlan<'a> {
    /// The resource it belongs to.
    pub owner: &'a Owner,
    /// The installation.
    pub settings: &'a ClusterSettings,
    /// Its inside.
    pub place: &'a Place,
    /// What its container asks for.
    pub resources: &'a Resources,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: i64,
    /// Whether its container is started again by kubelet.
    pub restarts: bool,
}

impl PodPlan<'_> {
    /// The template, with the resource's own settings merged over it by [`finish`] once the kind has added its part.
    pub fn template(&self) -> PodTemplateSpec {
        let (mut volumes, mut mounts) = self.place.volumes();
        let (own_volumes, own_mounts) = self.own_volumes();
        volumes.extend(own_volumes);
        mounts.extend(own_mounts);
        let secrets = self.settings.images.pull_secrets.iter();
        let secrets: Vec<_> = secrets.map(|name| LocalObjectReference { name: name.clone() }).collect();
        let spec = PodSpec {
            containers: vec![self.container(mounts)],
            volumes: Some(volumes),
            restart_policy: Some(if self.restarts { "Always" } else { "Never" }.to_owned()),
            termination_grace_period_seconds: Some(self.grace_seconds),
            image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security()),
            ..PodSpec::default()
        };
        let metadata =
            ObjectMeta { labels: Some(names::labels(self.owner.kind, &self.owner.name)), ..ObjectMeta::default() };
        PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
    }

    fn container(&self, mounts: Vec<VolumeMount>) -> Container {
        let images = &self.settings.images;
        let image = match self.owner.kind {
            Kind::Dataset => &images.dataset,
            Kind::TrainingJob => &images.trainer,
            Kind::ModelDeployment => &images.inference,
        };
        let endpoint = self.settings.otlp_endpoint.as_ref();
        let env = endpoint.map(|value| vec![variable("OTEL_EXPORTER_OTLP_ENDPOINT", value)]);
        Container {
            name: names::component(self.owner.kind).to_owned(),
            image: Some(image.clone()),
            image_pull_policy: Some(images.pull_policy.name().to_owned()),
            args: Some(vec!["--config".to_owned(), format!("{JOB_FOLDER}/{JOB_FILE}")]),
            env,
            resources: Some(self.resources.requirements()),
            volume_mounts: Some(mounts),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            security_context: Some(container_security()),
            ..Container::default()
        }
    }

    /// The job file, the token, and the folders that go with the pod.
    fn own_volumes(&self) -> (Vec<Volume>, Vec<VolumeMount>) {
        let config_map = ConfigMapVolumeSource {
            name: names::config_map(self.owner.kind, &self.owner.name),
            ..ConfigMapVolumeSource::default()
        };
        let mut volumes = vec![Volume { name: "job".to_owned(), config_map: Some(config_map), ..Volume::default() }];
        let mut mounts = vec![place::mount("job", JOB_FOLDER.to_owned(), true)];
        for (name, path) in [("cache", CACHE_FOLDER), ("tmp", "/tmp")] {
            let empty_dir = Some(EmptyDirVolumeSource::default());
            volumes.push(Volume { name: name.to_owned(), empty_dir, ..Volume::default() });
            mounts.push(place::mount(name, path.to_owned(), false));
        }
        if self.place.layout.reporting.is_some() {
            volumes.push(self.token_volume());
            mounts.push(place::mount("token", TOKEN_FOLDER.to_owned(), true));
        }
        (volumes, mounts)
    }

    /// A token that is good for nothing but reports about this one resource.
    fn token_volume(&self) -> Volume {
        let token = ServiceAccountTokenProjection {
            audience: Some(format!("bedplate.dev/{}", self.owner.uid)),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: TOKEN_FILE.to_owned(),
            ..ServiceAccountTokenProjection::default()
        };
        let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
        let projected = ProjectedVolumeSource { sources: Some(vec![source]), ..ProjectedVolumeSource::default() };
        Volume { name: "token".to_owned(), projected: Some(projected), ..Volume::default() }
    }
}

/// Merges the resource's own pod settings over a finished template, as `kubectl patch --type strategic` would.
///
/// # Errors
/// When a setting has no counterpart in Kubernetes.
pub fn finish(template: &mut PodTemplateSpec, own: Option<&PodTemplate>) -> Result<(), OverrideError> {
    own.map_or(Ok(()), |own| overrides::merge(template, own))
}

/// The one container of a template.
pub fn container_mut(template: &mut PodTemplateSpec) -> Option<&mut Container> {
    template.spec.as_mut()?.containers.first_mut()
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER_ID),
        run_as_group: Some(USER_ID),
        fs_group: Some(USER_ID),
        // Without it kubelet walks every file of a volume at every start: minutes for a large one.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}
