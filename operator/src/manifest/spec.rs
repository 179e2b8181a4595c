//! A spec, from its tree to its type.
//!
//! Owns that a refusal speaks of fields: what the types refuse after the schema took it is a field of another arm of a union,
//! and the schema's own rule says that best.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    shape::{Reader, join},
    yaml::{Node, Yaml},
};

/// The spec, unless something of it was refused.
pub fn read<S: DeserializeOwned>(reader: &mut Reader, node: &Node, schema: &Value) -> Option<S> {
    let before = reader.problems.len();
    let value = reader.value(node, schema, "spec");
    if reader.problems.len() > before {
        return None;
    }
    match serde_path_to_error::deserialize(value) {
        Ok(spec) => Some(spec),
        Err(error) => {
            let Found { node, schema, path } = follow(error.path(), Found { node, schema, path: "spec".to_owned() });
            let text = error.inner().to_string();
            let name = text.split('`').nth(1).unwrap_or_default();
            let Some(rule) = rule_about(schema, name) else {
                reader.refuse(&path, text, node.at);
                return None;
            };
            let at = field_of(node, name).map_or(node.at, |field| field.at);
            reader.refuse(&path, rule, at);
            None
        }
    }
}

/// A place in a tree and in its schema.
struct Found<'a> {
    node: &'a Node,
    schema: &'a Value,
    path: String,
}

/// Goes along a path as far as both have it.
fn follow<'a>(path: &serde_path_to_error::Path, mut found: Found<'a>) -> Found<'a> {
    for segment in path.iter() {
        let next = match segment {
            serde_path_to_error::Segment::Map { key } => field_of(found.node, key).map(|node| Found {
                node,
                schema: &found.schema["properties"][key],
                path: join(&found.path, key),
            }),
            serde_path_to_error::Segment::Seq { index } => match &found.node.value {
                Yaml::List(items) => items.get(*index).map(|node| Found {
                    node,
                    schema: &found.schema["items"],
                    path: format!("{}[{index}]", found.path),
                }),
                _ => None,
            },
            _ => None,
        };
        match next {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

fn field_of<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Yaml::Map(fields) = &node.value else { return None };
    fields.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

/// The message of the rule that ties the field to the type of its union.
fn rule_about<'a>(schema: &'a Value, name: &str) -> Option<&'a str> {
    let has = format!("has(self.{name})");
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let ties = |rule: &str| rule.contains(&has) && rule.contains(" in [");
    let mut about = rules.filter(|rule| rule["rule"].as_str().is_some_and(ties));
    about.find_map(|rule| rule["message"].as_str())
}
