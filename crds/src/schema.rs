//! Makes generated schemas structural: what a Kubernetes API server asks of a CustomResourceDefinition.
//!
//! Owns one rewrite, applied to each spec and status: no nulls, no `$ref`, closed enums with the meaning of every value in the
//! description, and unions tagged by `type` as one object whose CEL rules tie each field to its type. Never holds a rule
//! of one kind: those stand beside the fields they are about.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

mod union;

/// CEL rule on the resource as a whole, and its message: pods' names begin with the resource's, and a host name has at most
/// 63 characters and no dot.
#[cfg(feature = "kube")]
pub(crate) const SHORT_NAME: (&str, &str) = (
    "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
    "metadata.name becomes part of host names: use at most 63 lower-case letters, digits and '-', and no dot",
);

/// Why a resource with a Service has a name that begins with a letter.
pub const DIGIT_NAME: &str = "metadata.name becomes the name of a Service, and Kubernetes before 1.36 takes none that \
     begins with a digit: begin it with a lower-case letter";

/// The same as a rule, for new resources alone: a rule on the resource as a whole is asked again at every write, so one that
/// an existing resource breaks would hold up its status and its removal.
#[cfg(feature = "kube")]
pub(crate) fn service_name() -> kube::core::Rule {
    let rule = kube::core::Rule::new("oldSelf.hasValue() || !self.metadata.name.matches('^[0-9]')");
    rule.message(DIGIT_NAME).optional_old_self(true)
}

/// Where the API server looks for CEL rules.
pub(crate) const VALIDATIONS: &str = "x-kubernetes-validations";
/// Largest value of the integer formats that fit in 64 signed bits, which is what the API server counts in.
const MAX_BY_FORMAT: [(&str, u64); 4] =
    [("uint8", u8::MAX as u64), ("uint16", u16::MAX as u64), ("uint32", u32::MAX as u64), ("int32", i32::MAX as u64)];

/// The structural schema of a type, whole, without references.
pub fn of<T: JsonSchema>() -> Value {
    let mut schema = inlined::<T>();
    structural(&mut schema);
    schema.to_value()
}

/// The structural schemas of a tagged union's arms, for unions whose arms use one name for different types.
pub fn arms_of<T: JsonSchema>() -> Vec<Value> {
    let Some(Value::Array(mut arms)) = inlined::<T>().remove("oneOf") else { return Vec::new() };
    arms.iter_mut().for_each(rewrite_value);
    arms
}

fn inlined<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// Rewrites a schema and everything below it. Used as `#[schemars(transform = ...)]`.
pub(crate) fn structural(schema: &mut Schema) {
    if let Some(node) = schema.as_object_mut() {
        rewrite(node);
    }
}

fn rewrite(node: &mut Map<String, Value>) {
    drop_null(node);
    for key in ["properties", "patternProperties"] {
        for child in node.get_mut(key).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            rewrite_value(child);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            rewrite_value(child);
        }
    }
    for child in node.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        rewrite_value(child);
    }
    close_enum(node);
    union::merge(node);
    bound_integer(node);
    // `deny_unknown_fields`: the API server drops unknown fields by itself and forbids saying so beside properties.
    if node.get("additionalProperties") == Some(&Value::Bool(false)) {
        node.remove("additionalProperties");
    }
}

fn rewrite_value(value: &mut Value) {
    if let Some(node) = value.as_object_mut() {
        rewrite(node);
    }
}

/// An optional field is one that may be left out; an explicit null means the same and needs no word in the schema.
fn drop_null(node: &mut Map<String, Value>) {
    if let Some(types) = node.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            node.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(options)) = node.get("anyOf") else { return };
    let is_null = |option: &Value| option.get("type") == Some(&json!("null"));
    let rest: Vec<&Value> = options.iter().filter(|option| !is_null(option)).collect();
    if let ([Value::Object(only)], 2) = (rest.as_slice(), options.len()) {
        let only = only.clone();
        node.remove("anyOf");
        for (key, value) in only {
            node.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` constants becomes one `enum`; what each value means moves into the description.
fn close_enum(node: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = node.get("oneOf") else { return };
    let Some(values) = options.iter().map(values_of).collect::<Option<Vec<_>>>() else { return };
    let meanings = values.iter().flatten().map(|(value, meaning)| meaning_line(value, meaning)).collect::<Vec<_>>();
    let names = values.iter().flatten().map(|(value, _)| json!(value)).collect::<Vec<_>>();
    node.remove("oneOf");
    node.insert("type".to_owned(), json!("string"));
    node.insert("enum".to_owned(), Value::Array(names));
    append_description(node, &meanings.join("\n"));
}

/// The constants of one arm of a plain enum, each with its doc comment; none if the arm is something else.
fn values_of(option: &Value) -> Option<Vec<(String, String)>> {
    let meaning = option.get("description").and_then(Value::as_str).unwrap_or_default();
    let value = |value: &Value| value.as_str().map(|text| (text.to_owned(), meaning.to_owned()));
    match (option.get("const"), option.get("enum")) {
        (Some(constant), _) => Some(vec![value(constant)?]),
        (None, Some(Value::Array(values))) => values.iter().map(value).collect(),
        _ => None,
    }
}

fn meaning_line(value: &str, meaning: &str) -> String {
    format!("- `{value}`: {meaning}")
}

fn append_description(node: &mut Map<String, Value>, text: &str) {
    let before = node.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let separator = if before.is_empty() { "" } else { "\n\n" };
    node.insert("description".to_owned(), json!(format!("{before}{separator}{text}")));
}

/// The API server knows `int32` and `int64`; narrower unsigned types keep their meaning as bounds.
fn bound_integer(node: &mut Map<String, Value>) {
    if node.get("type") != Some(&json!("integer")) {
        return;
    }
    let format = node.get("format").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some((_, max)) = MAX_BY_FORMAT.iter().find(|(name, _)| *name == format) {
        node.entry("maximum").or_insert(json!(max));
    }
    if format != "int32" {
        node.insert("format".to_owned(), json!("int64"));
    }
}

/// Adds a CEL rule to a node.
fn push_rule(node: &mut Map<String, Value>, rule: &str, message: &str) {
    let rules = node.entry(VALIDATIONS).or_insert_with(|| json!([]));
    if let Value::Array(rules) = rules {
        rules.push(json!({ "rule": rule, "message": message }));
    }
}
