//! The schemas are structural, bounded where a rule reads them, and say the same as Kubernetes' own types.

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value, json};

use super::all;
use crate::pod_template::PodTemplate;

/// Keys that Kubernetes 1.37 knows in a structural schema (`apiextensions/v1 JSONSchemaProps`), without those that only
/// validate by alternatives.
const KNOWN_KEYS: [&str; 27] = [
    "nullable",
    "title",
    "additionalProperties",
    "default",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
    "anyOf",
];

fn schemas() -> Vec<(String, Value)> {
    let schema =
        |crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
            serde_json::to_value(&crd.spec.versions[0].schema).expect("a schema is JSON")["openAPIV3Schema"].clone()
        };
    all().iter().map(|crd| (crd.spec.names.kind.clone(), schema(crd))).collect()
}

/// Calls back for every node with its path.
fn visit(path: &str, node: &Value, see: &mut dyn FnMut(&str, &Value)) {
    see(path, node);
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}.{name}"), child, see);
    }
    for key in ["items", "additionalProperties"] {
        if node[key].is_object() {
            visit(&format!("{path}[]"), &node[key], see);
        }
    }
}

fn visit_all(see: &mut dyn FnMut(&str, &Value)) {
    for (kind, schema) in schemas() {
        visit(&kind, &schema, see);
    }
}

#[test]
fn every_node_has_one_type_and_known_keys_only() {
    visit_all(&mut |path, node| {
        let node = node.as_object().expect("a schema is an object");
        let is_int_or_string = node.contains_key("x-kubernetes-int-or-string");
        assert!(is_int_or_string || node.get("type").is_some_and(Value::is_string), "{path} has no type");
        let unknown: Vec<_> = node.keys().filter(|key| !KNOWN_KEYS.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{path} has {unknown:?}");
        assert!(is_int_or_string || !node.contains_key("anyOf"), "{path} has alternatives");
        assert!(
            !(node.contains_key("properties") && node.contains_key("additionalProperties")),
            "{path} is map and object"
        );
    });
}

#[test]
fn a_default_is_a_value_that_its_own_schema_names() {
    visit_all(&mut |path, node| {
        let (Some(default), Some(values)) = (node.get("default"), node.get("enum").and_then(Value::as_array)) else {
            return;
        };
        assert!(values.contains(default), "{path}: {default} is none of {values:?}");
    });
}

#[test]
fn every_rule_says_what_to_do_instead() {
    let mut rules = 0;
    visit_all(&mut |path, node| {
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.len() > 20 && !message.contains('\n'), "{path}: {rule}");
            rules += 1;
        }
    });
    assert!(rules > 40, "{rules} rules");
}

/// The cost of a rule is estimated from the bounds of what it reads.
#[test]
fn lists_and_strings_of_a_spec_are_bounded_where_rules_may_read_them() {
    for (kind, schema) in schemas() {
        let spec = &schema["properties"]["spec"];
        visit(&format!("{kind}.spec"), spec, &mut |path, node| match node["type"].as_str() {
            Some("array") => assert!(node["maxItems"].is_number(), "{path} has no maxItems"),
            Some("string") if node.get("x-kubernetes-validations").is_some() => {
                assert!(node["maxLength"].is_number() || node["enum"].is_array(), "{path} has no maxLength");
            }
            _ => {}
        });
    }
}

#[test]
fn a_union_ties_each_field_to_its_type() {
    let (_, job) = schemas().swap_remove(1);
    let model = &job["properties"]["spec"]["properties"]["model"];
    assert_eq!(model["properties"]["type"]["enum"], json!(["config", "trainingJob", "uri"]));
    assert_eq!(model["required"], json!(["type"]));
    let rules: Vec<&str> = model["x-kubernetes-validations"]
        .as_array()
        .expect("rules")
        .iter()
        .filter_map(|rule| rule["rule"].as_str())
        .collect();
    assert!(rules.contains(&"has(self.config) == (self.type in ['config'])"), "{rules:?}");
    assert!(rules.contains(&"self == oldSelf"), "{rules:?}");
}

#[test]
fn only_the_deployment_scales_and_every_kind_has_a_status() {
    for crd in all() {
        let subresources = crd.spec.versions[0].subresources.as_ref().expect("subresources");
        assert!(subresources.status.is_some());
        assert_eq!(subresources.scale.is_some(), crd.spec.names.kind == "ModelDeployment");
    }
}

/// The escape hatch is a part of Kubernetes' own type, so it may be merged over one.
#[test]
fn a_pod_template_reads_as_kubernetes_own() {
    let written = json!({
        "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } },
        "spec": {
            "nodeSelector": { "disk": "fast" },
            "tolerations": [{ "key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 5 }],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{
                        "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }],
                        "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n"] }] }] },
                    "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "preference": {
                        "matchExpressions": [{ "key": "a", "operator": "Exists" }] } }] },
                "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
                    "labelSelector": { "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "c", "operator": "DoesNotExist" }] },
                    "namespaces": ["n"], "topologyKey": "t" }] },
                "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 2, "podAffinityTerm": { "topologyKey": "t" } }] } },
            "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchLabels": { "a": "b" } }, "minDomains": 2 }],
            "priorityClassName": "p", "serviceAccountName": "s", "imagePullSecrets": [{ "name": "i" }],
            "runtimeClassName": "r", "schedulerName": "c", "terminationGracePeriodSeconds": 30,
            "containers": [{ "name": "workload", "env": [
                { "name": "RUST_LOG", "value": "info" },
                { "name": "HF_TOKEN", "valueFrom": { "secretKeyRef": { "name": "n", "key": "k", "optional": true } } }] }]
        }
    });
    let ours: PodTemplate = serde_json::from_value(written.clone()).expect("our type");
    let ours = serde_json::to_value(&ours).expect("JSON");
    assert_eq!(ours, written, "nothing is lost");
    let theirs: PodTemplateSpec = serde_json::from_value(ours).expect("Kubernetes' type");
    assert_ne!(theirs.spec.as_ref(), Some(&PodSpec::default()));
    assert_eq!(
        serde_json::to_value(&theirs).expect("JSON"),
        written,
        "Kubernetes' type knows every field by that name"
    );
}

/// A rule on the whole resource is asked at every write, also of its status and its finalizers: one that is newer than the
/// kind has to leave the resources alone that were there before it.
#[test]
fn a_name_that_begins_with_a_digit_is_refused_of_new_resources_with_a_service_alone() {
    for (kind, schema) in schemas() {
        let rules = schema["x-kubernetes-validations"].as_array().expect("rules");
        let rule = rules.iter().find(|rule| rule["rule"].as_str().is_some_and(|rule| rule.contains("[0-9]")));
        assert_eq!(rule.is_some(), kind != "Dataset", "{kind}");
        if let Some(rule) = rule {
            assert_eq!(rule["optionalOldSelf"], true, "{kind}");
            assert!(rule["rule"].as_str().is_some_and(|rule| rule.starts_with("oldSelf.hasValue() || ")), "{kind}");
        }
    }
}
