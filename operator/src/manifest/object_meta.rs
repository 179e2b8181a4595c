//! `metadata`, whole, as `kubectl get` prints it: what Bedplate reads of it, and what the API server refuses.
//!
//! Owns the checks that the API server makes of every kind. What it fills in by itself (uid, managedFields and the like) is
//! read and passed over. Never asks whether a name is taken.

use std::sync::LazyLock;

use bedplate_crds::{
    labels,
    schema::{self, DIGIT_NAME},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{
    shape::Reader,
    yaml::{Mark, Node, Yaml},
};
use crate::resource::{DEFAULT_NAMESPACE, Kind, Metadata};

/// `ObjectMeta` as Kubernetes has it.
static SCHEMA: LazyLock<Value> = LazyLock::new(schema::of::<ObjectMeta>);

/// Reads the `metadata` of a document that begins there.
pub fn read(reader: &mut Reader, kind: Kind, metadata: Option<&Node>, at: Mark) -> Metadata {
    let Some(node) = metadata else {
        reader.refuse("metadata", "is required", at);
        return Metadata::default();
    };
    let value = reader.value(node, &SCHEMA, "metadata");
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // Null is an empty text here, for the API server reads it as Go does.
    let strings = |name: &str| {
        let fields = match node.get(name).map(|found| &found.value) {
            Some(Yaml::Map(fields)) => fields.as_slice(),
            _ => &[],
        };
        let text = |key: &str| value[name][key].as_str().unwrap_or_default().to_owned();
        fields.iter().map(|(key, _)| (key.name.clone(), text(&key.name))).collect()
    };
    let read = Metadata {
        name: text("name").unwrap_or_default(),
        namespace: text("namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        labels: strings("labels"),
        annotations: strings("annotations"),
    };
    check_name(reader, kind, &read.name, node);
    check_keys(reader, node);
    let bytes: usize = read.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > labels::MAX_ANNOTATION_BYTES {
        let text = format!("hold {bytes} bytes; an object has at most {}", labels::MAX_ANNOTATION_BYTES);
        reader.refuse("metadata.annotations", text, node.at);
    }
    read
}

fn check_name(reader: &mut Reader, kind: Kind, name: &str, node: &Node) {
    if name.is_empty() {
        // Of another type than text, which was told.
        if node.get("name").is_none_or(|name| matches!(&name.value, Yaml::Text(text) if text.is_empty())) {
            let text = match node.get("generateName") {
                Some(_) => "is required; generateName makes another name at each run",
                None => "is required",
            };
            reader.refuse("metadata.name", text, node.at);
        }
    } else if kind.has_service() && name.starts_with(|first: char| first.is_ascii_digit()) {
        let at = node.get("name").map_or(node.at, |name| name.at);
        reader.refuse("metadata.name", DIGIT_NAME, at);
    }
}

fn check_keys(reader: &mut Reader, node: &Node) {
    for list in ["labels", "annotations"] {
        let Some(Yaml::Map(fields)) = node.get(list).map(|found| &found.value) else { continue };
        for (key, value) in fields {
            let field = format!("metadata.{list}[{}]", key.name);
            // Annotations are compared without regard to case.
            let name = if list == "labels" { key.name.clone() } else { key.name.to_lowercase() };
            if !labels::is_key(&name) {
                reader.refuse(&field, format!("is no key; {}", labels::KEY), key.at);
            }
            if let ("labels", Yaml::Text(text)) = (list, &value.value)
                && !labels::is_value(text)
            {
                reader.refuse(&field, format!("is {text:?}; {}", labels::VALUE), value.at);
            }
        }
    }
}
