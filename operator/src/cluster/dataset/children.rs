//! The children of a Dataset: a ConfigMap with its job file, and one Job that runs every stage.

use std::collections::BTreeMap;

use bedplate_crds::dataset::{DatasetSpec, TokenizerSource};

use crate::{
    cluster::{
        children::{ChildrenError, JobChildren, traced},
        failure_policy, names,
        objects::{self, JobPlan},
        owner::Owner,
        place::Place,
        pod::{self, PodPlan},
        resources::Resources,
        settings::ClusterSettings,
    },
    resource::{Kind, Resource},
};

/// The worker ends within 5 s of a SIGTERM, and everything on disk is whole at any moment.
const GRACE_SECONDS: i64 = 30;

/// The children.
///
/// # Errors
/// What is refused of the spec.
pub fn children(
    resource: &Resource<DatasetSpec>,
    owner: &Owner,
    settings: &ClusterSettings,
) -> Result<JobChildren, ChildrenError> {
    let spec = &resource.spec;
    let resources = Resources::new(&settings.pod_defaults.dataset, &BTreeMap::new());
    let mut place = Place::new(owner, settings, &resources);
    place.write_to(spec.storage.as_ref());
    let traced = Resource { metadata: traced(&resource.metadata, owner), spec: spec.clone() };
    let job_file = crate::dataset::job(&traced, &place.layout)?;
    for (i, source) in spec.sources.iter().enumerate() {
        place.read_uri(&format!("spec.sources[{i}].uri"), &source.uri)?;
    }
    if let TokenizerSource::Load { uri } = &spec.tokenizer {
        place.read_uri("spec.tokenizer.uri", uri)?;
    }
    let (place, resources) = (&place, &resources);
    let plan = PodPlan { owner, settings, place, resources, grace_seconds: GRACE_SECONDS, restarts: false };
    let mut template = plan.template();
    pod::finish(&mut template, spec.pod_template.as_ref())?;
    let plan = JobPlan {
        name: names::job(Kind::Dataset, &owner.name),
        ranks: 1,
        template,
        pod_failure_policy: Some(failure_policy::policy(names::component(Kind::Dataset), &[])),
        spec_hash: objects::spec_hash(spec),
    };
    Ok(JobChildren {
        config_map: objects::config_map(owner, settings, &job_file, true),
        service: None,
        pod_group: None,
        job: objects::job(owner, plan),
        claims: place.claims().into_iter().map(str::to_owned).collect(),
    })
}
