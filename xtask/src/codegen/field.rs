//! The fields of a structural schema, flattened to rows.
//!
//! Owns how a type, its default and its bounds are put in words. Knows nothing of Markdown.

use serde_json::{Map, Value};

/// One field.
pub struct Field {
    /// Path from the root, such as `spec.sources[].uri`.
    pub path: String,
    /// Type in words.
    pub kind: String,
    /// Whether it must be given.
    pub is_required: bool,
    /// Default as JSON, if the schema has one.
    pub default: Option<String>,
    /// Bounds in words; empty if there are none.
    pub bounds: String,
    /// What it means.
    pub description: String,
}

/// A rule over several fields.
pub struct Rule {
    /// Path of the object it stands on.
    pub path: String,
    /// What is said when it is broken.
    pub message: String,
}

/// All fields below a node, in order, but for those under the paths that `is_elsewhere` says are described elsewhere.
pub fn fields(path: &str, node: &Value, is_elsewhere: &dyn Fn(&str) -> bool) -> Vec<Field> {
    let mut rows = Vec::new();
    walk(path, node, is_elsewhere, &mut |row| rows.push(row));
    rows
}

fn walk(path: &str, node: &Value, is_elsewhere: &dyn Fn(&str) -> bool, emit: &mut dyn FnMut(Field)) {
    if let Some(items) = node.get("items") {
        return walk(&format!("{path}[]"), items, is_elsewhere, emit);
    }
    let required: Vec<&str> = texts(node.get("required"));
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        emit(row(path.clone(), child, required.contains(&name.as_str())));
        if !is_elsewhere(&path) {
            walk(&path, child, is_elsewhere, emit);
        }
    }
}

/// The rules on every node below, the root included.
pub fn rules(path: &str, node: &Value) -> Vec<Rule> {
    let own = node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    let own = own.filter_map(|rule| rule["message"].as_str());
    let mut rules: Vec<Rule> = own.map(|text| Rule { path: path.to_owned(), message: text.to_owned() }).collect();
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rules.extend(self::rules(&path, child));
    }
    if let Some(items) = node.get("items") {
        rules.extend(self::rules(&format!("{path}[]"), items));
    }
    rules
}

fn row(path: String, node: &Value, is_required: bool) -> Field {
    let empty = Map::new();
    let map = node.as_object().unwrap_or(&empty);
    Field {
        path,
        kind: kind(map),
        is_required,
        default: map.get("default").map(Value::to_string),
        bounds: bounds(map),
        description: map.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}

fn kind(node: &Map<String, Value>) -> String {
    if node.contains_key("x-kubernetes-int-or-string") {
        return "integer or string".to_owned();
    }
    let inner = |key: &str| node.get(key).and_then(Value::as_object).map(kind);
    match node.get("type").and_then(Value::as_str) {
        Some("array") => format!("list of {}", inner("items").unwrap_or_else(|| "anything".to_owned())),
        Some("object") if !node.contains_key("properties") => {
            format!("map of {}", inner("additionalProperties").unwrap_or_else(|| "anything".to_owned()))
        }
        Some("string") if node.contains_key("enum") => "enum".to_owned(),
        Some("string") if node.get("format").is_some_and(|format| format == "date-time") => "time".to_owned(),
        Some(name) => name.to_owned(),
        None => "anything".to_owned(),
    }
}

/// Bounds of the node and of what it holds.
fn bounds(node: &Map<String, Value>) -> String {
    let number = |key: &str| node.get(key).map(Value::to_string);
    let is_strict = |key: &str| node.get(key) == Some(&Value::Bool(true));
    let mut parts = Vec::new();
    if let Some(min) = number("minimum") {
        parts.push(format!("{} {min}", if is_strict("exclusiveMinimum") { ">" } else { "≥" }));
    }
    if let Some(max) = number("maximum").filter(|max| max != &u32::MAX.to_string()) {
        parts.push(format!("{} {max}", if is_strict("exclusiveMaximum") { "<" } else { "≤" }));
    }
    if let Some(divisor) = number("multipleOf") {
        parts.push(format!("multiple of {divisor}"));
    }
    for (low, high, unit) in [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "entries"),
    ] {
        match (number(low), number(high)) {
            (Some(low), Some(high)) => parts.push(format!("{low} to {high} {unit}")),
            (Some(low), None) => parts.push(format!("at least {low} {unit}")),
            (None, Some(high)) => parts.push(format!("at most {high} {unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
        parts.push(format!("matches `{pattern}`"));
    }
    if let Some(items) = node.get("items").and_then(Value::as_object).map(bounds).filter(|text| !text.is_empty()) {
        parts.push(format!("each {items}"));
    }
    parts.join(", ")
}

fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
