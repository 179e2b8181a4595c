//! What stands in two places: folders in the code map, operations in the conformance bodies, fields in the schema.

use std::{collections::BTreeSet, path::Path};

use bedplate_crds::custom_resource_definition;
use serde_json::Value;

use super::{Finding, Tree};

/// Files of `engine/src/cpu` that are no operation but what operations are made from.
const NOT_OPERATIONS: [&str; 5] = ["gemm", "lanes", "shared", "simd", "tile"];

/// All three.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = code_map(tree);
    findings.extend(conformance(tree));
    findings.extend(field_docs());
    findings
}

/// ARCHITECTURE.md names every folder of the top level.
fn code_map(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("ARCHITECTURE.md").unwrap_or_default();
    let deep = tree.files.iter().filter(|file| file.path.components().count() > 1);
    let folders: BTreeSet<&str> = deep.filter_map(|file| file.path.iter().next()?.to_str()).collect();
    let missing = folders.into_iter().filter(|name| !name.starts_with('.') && !text.contains(&format!("`{name}/`")));
    let finding = |name: &str| Finding {
        path: "ARCHITECTURE.md".into(),
        line: 1,
        problem: format!("the code map does not name `{name}/`"),
        remedy: "add a row: what it owns and what it never does",
    };
    missing.map(finding).collect()
}

/// Every operation has a body of proof under the same stem.
fn conformance(tree: &Tree) -> Vec<Finding> {
    let operations = tree.rust().filter(|file| file.path.parent() == Some(Path::new("engine/src/cpu")));
    let stem = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let has_body = |name: &str| tree.text(&format!("engine/src/conformance/{name}.rs")).is_some();
    let unproved = operations.filter(|file| {
        let name = stem(&file.path);
        !NOT_OPERATIONS.contains(&name.as_str()) && !has_body(&name)
    });
    unproved
        .map(|file| {
            let name = stem(&file.path);
            file.finding(
                1,
                format!("operation {name} is not proved"),
                "add its body to engine/src/conformance under the same stem",
            )
        })
        .collect()
}

/// `kubectl explain` has something to say about every field.
fn field_docs() -> Vec<Finding> {
    let mut findings = Vec::new();
    for crd in custom_resource_definition::all() {
        let kind = crd.spec.names.kind.clone();
        let schema = serde_json::to_value(&crd.spec.versions).expect("a CRD is JSON");
        for (index, _) in crd.spec.versions.iter().enumerate() {
            undocumented(&kind, &schema[index]["schema"]["openAPIV3Schema"], &mut findings);
        }
    }
    findings
}

/// Fields below a node without a description.
pub(super) fn undocumented(path: &str, node: &Value, findings: &mut Vec<Finding>) {
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if child["description"].as_str().unwrap_or_default().is_empty() {
            let problem = format!("{path} has no description");
            findings.push(Finding { path: "crds/src".into(), line: 1, problem, remedy: "write its doc comment" });
        }
        undocumented(&path, child, findings);
    }
    for key in ["items", "additionalProperties"] {
        if node[key].is_object() {
            undocumented(&format!("{path}[]"), &node[key], findings);
        }
    }
}
