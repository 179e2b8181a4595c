//! Refuses what the pods could not use: quantities that are none, variables that nothing reads, labels of the operator.
//!
//! Owns the checks that the three kinds share. The rules are those of the CRDs.

use std::collections::BTreeMap;

use bedplate_crds::{
    labels,
    pod_template::{EnvVar, PodTemplate},
    quantity::{self, is_quantity},
};

use crate::violation::{Checks, Violation};

/// Prefixes that only the operator writes.
const OWN_PREFIXES: [&str; 2] = ["bedplate.dev/", "app.kubernetes.io/"];
/// Variables that a Bedplate process reads, and beginnings of such.
const VARIABLES: [&str; 2] = ["RUST_LOG", "RUST_BACKTRACE"];
const VARIABLE_PREFIXES: [&str; 4] = ["HF_", "OTEL_", "NCCL_", "AWS_"];

/// Checks requests and limits.
pub fn check_quantities(checks: &mut Checks, field: &str, quantities: &BTreeMap<String, String>) {
    for (name, quantity) in quantities {
        let field = format!("{field}[{name}]");
        checks.range(
            &field,
            format!("{quantity:?}"),
            is_quantity(quantity),
            "a quantity such as 2, \"500m\" or \"4Gi\"",
        );
        if !quantity::is_resource_name(name) {
            checks.refuse(Violation::Unusable {
                field,
                value: name.clone(),
                remedy: quantity::RESOURCE_NAME.to_owned(),
            });
        } else if !quantity::may_be(name, quantity) {
            checks.refuse(Violation::Unusable { field, value: quantity.clone(), remedy: quantity::WHOLE.to_owned() });
        }
    }
}

/// Checks the closed list of pod settings.
pub fn check_template(checks: &mut Checks, template: Option<&PodTemplate>) {
    let Some(template) = template else { return };
    if let Some(metadata) = &template.metadata {
        for (list, keys) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
            for key in keys.keys() {
                let is_own = OWN_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
                let field = format!("spec.podTemplate.metadata.{list}");
                checks.range(&field, format!("{key:?}"), !is_own, "under a prefix of your own");
            }
        }
        check_keys(checks, "spec.podTemplate.metadata.labels", &metadata.labels);
        check_values(checks, "spec.podTemplate.metadata.labels", &metadata.labels);
        check_keys(checks, "spec.podTemplate.metadata.annotations", &metadata.annotations);
    }
    if let Some(spec) = &template.spec {
        check_keys(checks, "spec.podTemplate.spec.nodeSelector", &spec.node_selector);
        check_values(checks, "spec.podTemplate.spec.nodeSelector", &spec.node_selector);
    }
    let containers = template.spec.iter().flat_map(|spec| &spec.containers);
    for (i, variable) in containers.flat_map(|container| &container.env).enumerate() {
        check_variable(checks, &format!("spec.podTemplate.spec.containers[0].env[{i}]"), variable);
    }
}

fn check_keys(checks: &mut Checks, field: &str, of: &BTreeMap<String, String>) {
    for key in of.keys().filter(|key| !labels::is_key(key)) {
        let remedy = labels::KEY.to_owned();
        checks.refuse(Violation::Unusable { field: format!("{field}[{key}]"), value: key.clone(), remedy });
    }
}

fn check_values(checks: &mut Checks, field: &str, of: &BTreeMap<String, String>) {
    for (key, value) in of.iter().filter(|(_, value)| !labels::is_value(value)) {
        let remedy = labels::VALUE.to_owned();
        checks.refuse(Violation::Unusable { field: format!("{field}[{key}]"), value: value.clone(), remedy });
    }
}

fn check_variable(checks: &mut Checks, field: &str, variable: &EnvVar) {
    let name = variable.name.as_str();
    let is_end =
        |end: &str| !end.is_empty() && end.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let has_prefix = |prefix: &&str| name.strip_prefix(*prefix).is_some_and(is_end);
    let is_read = VARIABLES.contains(&name) || VARIABLE_PREFIXES.iter().any(has_prefix);
    let allowed = "RUST_LOG, RUST_BACKTRACE, HF_*, OTEL_*, NCCL_* or AWS_*: no Bedplate process reads another";
    checks.range(&format!("{field}.name"), name, is_read, allowed);
    if variable.value.is_some() == variable.value_from.is_some() {
        let remedy = "give either value or valueFrom".to_owned();
        checks.refuse(Violation::Empty { field: field.to_owned(), remedy });
    }
}
