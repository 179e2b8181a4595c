//! The bounds of the CRDs' schemas on a spec: ranges, lengths, and entries of which there may be one each.
//!
//! Owns the net below the rules of each kind, whose words are better: it is asked only where they found nothing. Never checks
//! a type or a pattern: reading the spec did the one, a rule of the kind does the other.

use std::sync::LazyLock;

use bedplate_crds::{
    dataset::DatasetSpec, model_deployment::ModelDeploymentSpec, schema, training_job::TrainingJobSpec,
};
use serde_json::Value;

use crate::{
    resource::Kind,
    violation::{Checks, Violation},
};

/// In the order of [`Kind::ALL`].
static SPECS: LazyLock<[Value; 3]> = LazyLock::new(|| {
    [schema::of::<DatasetSpec>(), schema::of::<TrainingJobSpec>(), schema::of::<ModelDeploymentSpec>()]
});

/// The schema of a kind's spec, as it is in the CRD.
pub fn spec_schema(kind: Kind) -> &'static Value {
    &SPECS[kind as usize]
}

/// Refuses what lies outside the bounds.
pub fn check(checks: &mut Checks, field: &str, value: &Value, schema: &Value) {
    match value {
        Value::Number(number) => check_range(checks, field, number.as_f64().unwrap_or_default(), schema),
        Value::String(text) => check_size(checks, field, (text.chars().count(), "characters", "Length"), schema),
        Value::Array(items) => {
            check_size(checks, field, (items.len(), "entries", "Items"), schema);
            check_keys(checks, field, items, schema);
            for (i, item) in items.iter().enumerate() {
                check(checks, &format!("{field}[{i}]"), item, &schema["items"]);
            }
        }
        Value::Object(fields) => {
            check_size(checks, field, (fields.len(), "entries", "Properties"), schema);
            for (name, value) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => check(checks, &format!("{field}.{name}"), value, schema),
                    None => check(checks, &format!("{field}[{name}]"), value, &schema["additionalProperties"]),
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_range(checks: &mut Checks, field: &str, value: f64, schema: &Value) {
    let bound = |name: &str| schema[name].as_f64();
    let is_open = |name: &str| schema[name] == true;
    let (least, most) = (bound("minimum"), bound("maximum"));
    let is_enough = least.is_none_or(|least| value > least || (value == least && !is_open("exclusiveMinimum")));
    let is_low = most.is_none_or(|most| value < most || (value == most && !is_open("exclusiveMaximum")));
    let allowed = match (least, most) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => String::new(),
    };
    checks.range(field, value, is_enough && is_low, &allowed);
}

fn check_size(checks: &mut Checks, field: &str, (size, unit, suffix): (usize, &str, &str), schema: &Value) {
    let bound = |name: &str| schema[format!("{name}{suffix}")].as_u64().and_then(|bound| usize::try_from(bound).ok());
    let (least, most) = (bound("min").unwrap_or(0), bound("max").unwrap_or(usize::MAX));
    let allowed =
        if size < least { format!("at least {least} {unit} long") } else { format!("at most {most} {unit} long") };
    checks.range(field, format!("{size} {unit} long"), (least..=most).contains(&size), &allowed);
}

/// Refuses a second entry with the same key.
fn check_keys(checks: &mut Checks, field: &str, items: &[Value], schema: &Value) {
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (i, item) in items.iter().enumerate() {
        let is_same = |earlier: &Value| !keys.is_empty() && keys.iter().all(|key| earlier[*key] == item[*key]);
        if items[..i].iter().any(is_same) {
            let value = keys.iter().filter_map(|key| item[*key].as_str()).collect::<Vec<_>>().join("/");
            checks.refuse(Violation::Duplicate { field: format!("{field}[{i}]"), value });
        }
    }
}
