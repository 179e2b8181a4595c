//! Merges `podTemplate` over a pod: maps by key, lists with a merge key by it, everything else replaced.
//!
//! Owns the merge keys of `core/v1` (<https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/>).
//! Never widens what may be set: the closed list is crds/src/pod_template.rs.

use std::collections::BTreeMap;

use bedplate_crds::pod_template::{ContainerName, PodOverrides, PodTemplate};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde::{Serialize, de::DeserializeOwned};

/// A setting that Kubernetes does not know in this form.
#[derive(Debug, thiserror::Error)]
#[error("spec.podTemplate.spec.{field} cannot be made into a pod's: {reason}; leave it out")]
pub struct OverrideError {
    /// The field.
    pub field: &'static str,
    /// What does not fit.
    pub reason: String,
}

pub(super) fn merge(template: &mut PodTemplateSpec, own: &PodTemplate) -> Result<(), OverrideError> {
    if let (Some(metadata), Some(own)) = (&mut template.metadata, &own.metadata) {
        extend(&mut metadata.labels, &own.labels);
        extend(&mut metadata.annotations, &own.annotations);
    }
    match (&mut template.spec, &own.spec) {
        (Some(spec), Some(own)) => merge_spec(spec, own),
        _ => Ok(()),
    }
}

fn merge_spec(spec: &mut PodSpec, own: &PodOverrides) -> Result<(), OverrideError> {
    extend(&mut spec.node_selector, &own.node_selector);
    if !own.tolerations.is_empty() {
        spec.tolerations = Some(convert("tolerations", &own.tolerations)?);
    }
    if let Some(affinity) = &own.affinity {
        spec.affinity = Some(convert("affinity", affinity)?);
    }
    if !own.topology_spread_constraints.is_empty() {
        let constraints = &own.topology_spread_constraints;
        spec.topology_spread_constraints = Some(convert("topologySpreadConstraints", constraints)?);
    }
    replace(&mut spec.priority_class_name, &own.priority_class_name);
    replace(&mut spec.service_account_name, &own.service_account_name);
    replace(&mut spec.runtime_class_name, &own.runtime_class_name);
    replace(&mut spec.scheduler_name, &own.scheduler_name);
    if let Some(seconds) = own.termination_grace_period_seconds {
        spec.termination_grace_period_seconds = Some(seconds.into());
    }
    let secrets = convert("imagePullSecrets", &own.image_pull_secrets)?;
    merge_by(&mut spec.image_pull_secrets, secrets, |secret| &secret.name);
    for overrides in &own.containers {
        let ContainerName::Workload = overrides.name;
        let env = convert("containers.env", &overrides.env)?;
        if let Some(Container { env: base, .. }) = spec.containers.first_mut() {
            merge_by(base, env, |variable| &variable.name);
        }
    }
    Ok(())
}

fn extend(base: &mut Option<BTreeMap<String, String>>, own: &BTreeMap<String, String>) {
    if !own.is_empty() {
        base.get_or_insert_default().extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

fn replace(base: &mut Option<String>, own: &Option<String>) {
    if own.is_some() {
        base.clone_from(own);
    }
}

/// An element of the same key is replaced in its place, a new one goes to the end.
fn merge_by<T>(base: &mut Option<Vec<T>>, own: Vec<T>, key: impl Fn(&T) -> &String) {
    for element in own {
        let list = base.get_or_insert_default();
        match list.iter_mut().find(|present| key(present) == key(&element)) {
            Some(present) => *present = element,
            None => list.push(element),
        }
    }
}

/// The types of crds/ have Kubernetes' own field names, so one becomes the other by way of JSON.
fn convert<T: DeserializeOwned>(field: &'static str, own: &impl Serialize) -> Result<T, OverrideError> {
    let value = serde_json::to_value(own).and_then(serde_json::from_value);
    value.map_err(|error| OverrideError { field, reason: error.to_string() })
}
