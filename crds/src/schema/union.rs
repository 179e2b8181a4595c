//! Unions tagged by one property, as one object.
//!
//! A structural schema may not spread properties over the arms of a `oneOf`. The arms become one set of properties, the
//! tag a closed enum, and a CEL rule per field says with which tags it goes. Never drops a bound, but does drop an arm's
//! defaults: the API server would fill them in whatever the tag is; serde fills them in where they belong.

use serde_json::{Map, Value, json};

use super::{append_description, meaning_line, push_rule};

/// One arm: the value of the tag, what it means, its own properties and which of them are required.
struct Arm {
    tag: String,
    meaning: String,
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// A property with the tags it goes with.
struct Field {
    schema: Map<String, Value>,
    tags: Vec<String>,
    required_with: Vec<String>,
}

/// Merges the arms of `oneOf`, if they are objects that one property tells apart.
pub(super) fn merge(node: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = node.get("oneOf") else { return };
    let Some(tag_name) = tag_of(options) else { return };
    let arms: Vec<Arm> = options.iter().filter_map(|option| arm(option, &tag_name)).collect();
    node.remove("oneOf");
    node.insert("type".to_owned(), json!("object"));
    let mut required = node.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    required.push(json!(tag_name));
    node.insert("required".to_owned(), Value::Array(required));
    // A flattened union stands beside fields of its own.
    let mut properties = node.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert(tag_name.clone(), tag_schema(&arms));
    for (name, field) in fields(&arms) {
        let (rule, message) = rule(&tag_name, &name, &field);
        push_rule(node, &rule, &message);
        properties.insert(name, described(&tag_name, field));
    }
    node.insert("properties".to_owned(), Value::Object(properties));
}

/// The property that is a constant in every arm.
fn tag_of(options: &[Value]) -> Option<String> {
    let constant_in = |option: &Value, name: &str| constant(&option["properties"][name]).is_some();
    let names = options.first()?.get("properties")?.as_object()?.keys();
    names.into_iter().find(|name| options.iter().all(|option| constant_in(option, name))).cloned()
}

fn constant(schema: &Value) -> Option<&str> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array).map(Vec::as_slice)) {
        (Some(Value::String(value)), _) | (None, Some([Value::String(value)])) => Some(value),
        _ => None,
    }
}

fn arm(option: &Value, tag_name: &str) -> Option<Arm> {
    let mut properties = option.get("properties")?.as_object()?.clone();
    let tag = constant(&properties.shift_remove(tag_name)?)?.to_owned();
    let required = option.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = required.filter_map(Value::as_str).filter(|name| *name != tag_name).map(str::to_owned).collect();
    let meaning = option.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Arm { tag, meaning, properties, required })
}

fn tag_schema(arms: &[Arm]) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), json!(arms.iter().map(|arm| &arm.tag).collect::<Vec<_>>()));
    let meanings: Vec<String> = arms.iter().map(|arm| meaning_line(&arm.tag, &arm.meaning)).collect();
    append_description(&mut schema, &format!("Which of these it is.\n\n{}", meanings.join("\n")));
    Value::Object(schema)
}

/// Every property of every arm, in order; a name that several arms use must mean the same type in all of them.
fn fields(arms: &[Arm]) -> Vec<(String, Field)> {
    let mut fields: Vec<(String, Field)> = Vec::new();
    for arm in arms {
        for (name, schema) in &arm.properties {
            let required_with = arm.required.contains(name).then(|| arm.tag.clone());
            let schema = schema.as_object().cloned().unwrap_or_default();
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, field)) => {
                    assert_eq!(field.schema.get("type"), schema.get("type"), "{name} has one type in every arm");
                    field.tags.push(arm.tag.clone());
                    field.required_with.extend(required_with);
                }
                None => {
                    let required_with = required_with.into_iter().collect();
                    fields.push((name.clone(), Field { schema, tags: vec![arm.tag.clone()], required_with }));
                }
            }
        }
    }
    fields
}

fn rule(tag_name: &str, name: &str, field: &Field) -> (String, String) {
    let list = |tags: &[String]| tags.iter().map(|tag| format!("'{tag}'")).collect::<Vec<_>>().join(", ");
    let among = |tags: &[String]| format!("self.{tag_name} in [{}]", list(tags));
    let has = format!("has(self.{name})");
    let tags = field.tags.join(" or ");
    if field.required_with == field.tags {
        let message = format!(
            "{name} is needed with {tag_name} {tags} and with no other: add it, remove it, or change {tag_name}"
        );
        return (format!("{has} == ({})", among(&field.tags)), message);
    }
    let message = format!("{name} goes with {tag_name} {tags} only: remove it, or change {tag_name}");
    let allowed = format!("!{has} || {}", among(&field.tags));
    if field.required_with.is_empty() {
        return (allowed, message);
    }
    (format!("({allowed}) && ({has} || !({}))", among(&field.required_with)), message)
}

/// Says with which tags the field goes, and its default there.
fn described(tag_name: &str, mut field: Field) -> Value {
    let tags = field.tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(" or ");
    let need = if field.required_with.is_empty() { "Goes with" } else { "Needed with" };
    let default = field.schema.remove("default").map(|value| format!(" Default: `{value}`.")).unwrap_or_default();
    let own = field.schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{own}{default} {need} {tag_name} {tags}.");
    field.schema.insert("description".to_owned(), json!(text.trim()));
    Value::Object(field.schema)
}
