//! Every child of every kind, whole.

use serde_json::json;

use super::{dataset, model_deployment, object, owner, settings, training_job};
use crate::{
    cluster::{
        self,
        child::Child,
        observed::{Capabilities, Dependency},
        training_job::children::Surroundings,
    },
    resource::Kind,
};

/// The Dataset of the manifests, as the API server has it.
pub fn dataset_dependency() -> Dependency {
    let spec = json!(dataset().spec);
    Dependency::Dataset(Box::new(object(json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "Dataset",
        "metadata": { "name": "sources", "namespace": "team", "generation": 1 },
        "spec": spec,
        "status": { "observedGeneration": 1, "conditions": [], "phase": "Ready", "digest": "d1" },
    }))))
}

/// The TrainingJob of the manifests, as the API server has it.
pub fn training_job_dependency() -> Dependency {
    let spec = json!(training_job().spec);
    Dependency::TrainingJob(Box::new(object(json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "TrainingJob",
        "metadata": { "name": "tiny", "namespace": "team", "generation": 1 },
        "spec": spec,
        "status": { "conditions": [], "phase": "Complete", "checkpoint": { "step": 100, "digest": "m1", "bytes": 1 } },
    }))))
}

fn yaml(children: &[Child]) -> String {
    let objects: Vec<String> = children.iter().map(|child| serde_saphyr::to_string(&json!(child)).unwrap()).collect();
    objects.join("---\n")
}

#[test]
fn a_dataset_becomes_a_job_file_and_a_job() {
    let children = cluster::dataset::children::children(&dataset(), &owner(Kind::Dataset, "sources"), &settings());
    let children = children.unwrap();
    assert_eq!(children.claims, ["bedplate-storage", "bedplate-inputs"]);
    insta::assert_snapshot!(yaml(&children.all()));
}

#[test]
fn a_training_job_becomes_an_indexed_job_whose_ranks_meet_at_a_service() {
    let dependencies = [dataset_dependency()];
    let capabilities = Capabilities { pod_groups: true };
    let around = Surroundings { settings: &settings(), dependencies: &dependencies, capabilities, is_leaving: false };
    let owner = owner(Kind::TrainingJob, "tiny");
    let children = cluster::training_job::children::children(&training_job(), &owner, around).unwrap();
    assert_eq!(children.claims, ["bedplate-storage", "runs"]);
    insta::assert_snapshot!(yaml(&children.all()));
}

#[test]
fn without_pod_groups_the_pods_name_no_group() {
    let dependencies = [dataset_dependency()];
    let capabilities = Capabilities { pod_groups: false };
    let around = Surroundings { settings: &settings(), dependencies: &dependencies, capabilities, is_leaving: false };
    let owner = owner(Kind::TrainingJob, "tiny");
    let children = cluster::training_job::children::children(&training_job(), &owner, around).unwrap();
    assert!(children.pod_group.is_none());
    assert!(!yaml(&children.all()).contains("schedulingGroup"));
}

#[test]
fn a_model_deployment_becomes_a_deployment_behind_a_service() {
    let dependencies = [training_job_dependency()];
    let owner = owner(Kind::ModelDeployment, "chat");
    let around = (&settings(), &dependencies[..]);
    let children =
        cluster::model_deployment::children::children(&model_deployment(), &owner, around, Some("m1")).unwrap();
    assert_eq!(children.claims, ["runs"]);
    insta::assert_snapshot!(yaml(&children.all));
}

#[test]
fn another_model_under_the_same_name_is_another_revision() {
    let dependencies = [training_job_dependency()];
    let owner = owner(Kind::ModelDeployment, "chat");
    let revision = |digest| {
        let around = (&settings(), &dependencies[..]);
        cluster::model_deployment::children::children(&model_deployment(), &owner, around, Some(digest))
            .unwrap()
            .revision
    };
    assert_ne!(revision("m1"), revision("m2"));
    assert_eq!(revision("m1"), revision("m1"));
}

#[test]
fn what_holds_a_job_back_or_ends_it_does_not_make_its_pods_anew() {
    let dependencies = [dataset_dependency()];
    let hash = |change: fn(&mut bedplate_crds::training_job::TrainingJobSpec)| {
        let mut resource = training_job();
        change(&mut resource.spec);
        let settings = settings();
        let around = Surroundings {
            settings: &settings,
            dependencies: &dependencies,
            capabilities: Capabilities::default(),
            is_leaving: false,
        };
        let owner = owner(Kind::TrainingJob, "tiny");
        let children = cluster::training_job::children::children(&resource, &owner, around).unwrap();
        children.spec_hash().to_owned()
    };
    let as_it_is = hash(|_| ());
    assert_eq!(as_it_is, hash(|spec| (spec.suspend, spec.ttl_seconds_after_finished) = (true, Some(60))));
    assert_ne!(as_it_is, hash(|spec| spec.active_deadline_seconds = Some(60)));
}

#[test]
fn a_path_that_no_pod_sees_is_refused_with_the_ones_it_sees() {
    for uri in ["file:///etc/passwd", "file:../../etc", "file:///var/lib/bedplate/storage"] {
        let mut resource = dataset();
        resource.spec.sources[0].uri = uri.to_owned();
        let children = cluster::dataset::children::children(&resource, &owner(Kind::Dataset, "sources"), &settings());
        let message = children.unwrap_err().to_string();
        let expected = format!(
            "spec.sources[0].uri is {uri:?}; use one of file:relative/path (in PersistentVolumeClaim \
             bedplate-inputs), file:///var/lib/bedplate/storage/CLAIM/path (in a claim of that name; default is \
             bedplate-storage), or a uri that is no file: a pod sees no other files"
        );
        assert_eq!(message, expected);
    }
}

#[test]
fn a_file_on_another_claim_mounts_that_claim_to_read() {
    let mut resource = dataset();
    resource.spec.sources[0].uri = "file:///var/lib/bedplate/storage/shared/text".to_owned();
    let children = cluster::dataset::children::children(&resource, &owner(Kind::Dataset, "sources"), &settings());
    assert_eq!(children.unwrap().claims, ["bedplate-storage", "shared"]);
}
