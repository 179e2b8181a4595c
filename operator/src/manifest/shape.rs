//! Whether a value has the shape that the API server asks for, and what it is then.
//!
//! Owns types, names of fields, closed lists of words and required fields, from the very schema that is in the CRD. A field
//! that is null counts as absent, as with the API server. Never checks what two fields say together: `validate` does.

use serde_json::{Map, Value};

use super::{
    scalar::Word,
    yaml::{Key, Mark, Node, Yaml},
};

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field.
    pub field: String,
    /// What is wrong and what to write.
    pub text: String,
    /// Where it stands.
    pub at: Mark,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mark { line, column } = self.at;
        write!(f, "{}: {}, at line {line}, column {column}", self.field, self.text)
    }
}

/// Reads values and gathers what is wrong with them.
#[derive(Debug, Default)]
pub struct Reader {
    /// What is wrong so far, in the order of the text.
    pub problems: Vec<Problem>,
}

impl Reader {
    /// Notes what is wrong at a place.
    pub fn refuse(&mut self, field: &str, text: impl Into<String>, at: Mark) {
        self.problems.push(Problem { field: field.to_owned(), text: text.into(), at });
    }

    /// The value as JSON, without the fields that are null.
    pub fn value(&mut self, node: &Node, schema: &Value, field: &str) -> Value {
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return self.int_or_string(node, field);
        }
        match (schema["type"].as_str(), &node.value) {
            (Some("object"), Yaml::Map(fields)) => self.object(node, fields, schema, field),
            (Some("array"), Yaml::List(items)) => self.list(items, schema, field),
            (Some("string"), Yaml::Text(text)) => self.word(text, node, schema, field),
            (Some("integer"), Yaml::Word(Word::Integer(_) | Word::Float(_), _)) if whole(node).is_some() => {
                self.integer(node, schema, field)
            }
            (Some("number"), Yaml::Word(Word::Integer(_) | Word::Float(_), _)) if is_finite(node) => json(node),
            (Some("boolean"), Yaml::Word(Word::Bool(_), _)) | (None, _) => json(node),
            (Some(wanted), _) => {
                self.refuse(field, mismatch(wanted, schema, node), node.at);
                Value::Null
            }
        }
    }

    fn object(&mut self, node: &Node, fields: &[(Key, Node)], schema: &Value, field: &str) -> Value {
        let properties = schema["properties"].as_object();
        let Some(properties) = properties else { return self.map(fields, &schema["additionalProperties"], field) };
        let mut read = Map::new();
        for (key, value) in fields {
            let path = join(field, &key.name);
            match properties.get(&key.name) {
                None => self.refuse(&path, unknown(properties), key.at),
                Some(_) if value.is_null() => {}
                Some(schema) => drop(read.insert(key.name.clone(), self.value(value, schema, &path))),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !read.contains_key(name) {
                self.refuse(&join(field, name), "is required", node.at);
            }
        }
        Value::Object(read)
    }

    /// An object whose field names are free.
    fn map(&mut self, fields: &[(Key, Node)], schema: &Value, field: &str) -> Value {
        let present = fields.iter().filter(|(_, value)| !value.is_null());
        let read = present.map(|(key, value)| {
            let path = format!("{field}[{}]", key.name);
            (key.name.clone(), self.value(value, schema, &path))
        });
        Value::Object(read.collect())
    }

    fn list(&mut self, items: &[Node], schema: &Value, field: &str) -> Value {
        let read =
            items.iter().enumerate().map(|(i, item)| self.value(item, &schema["items"], &format!("{field}[{i}]")));
        Value::Array(read.collect())
    }

    fn word(&mut self, text: &str, node: &Node, schema: &Value, field: &str) -> Value {
        if let Some(known) = schema["enum"].as_array()
            && !known.iter().any(|value| value == text)
        {
            let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
            self.refuse(field, format!("{text:?} is not supported; use one of {}", known.join(", ")), node.at);
        }
        Value::String(text.to_owned())
    }

    /// Refuses what the number's type cannot hold; what else its range forbids has a rule with better words.
    fn integer(&mut self, node: &Node, schema: &Value, field: &str) -> Value {
        let value = whole(node).unwrap_or_default();
        let bound = |name: &str, otherwise: i64| i128::from(schema[name].as_i64().unwrap_or(otherwise));
        let (least, most) = (bound("minimum", i64::MIN), bound("maximum", i64::MAX));
        if value > most || (value < 0 && value < least) {
            self.refuse(field, format!("is {value}; it must be from {least} to {most}"), node.at);
        }
        json(node)
    }

    /// A quantity: a fraction is only safe as text, for no two programs write a floating-point number alike.
    fn int_or_string(&mut self, node: &Node, field: &str) -> Value {
        match &node.value {
            Yaml::Text(text) => Value::String(text.clone()),
            Yaml::Word(Word::Integer(_) | Word::Float(_), _) if whole(node).is_some() => json(node),
            Yaml::Word(Word::Float(_), raw) => {
                self.refuse(field, format!("must be of type integer or string; write \"{raw}\" in quotes"), node.at);
                Value::Null
            }
            _ => {
                let text =
                    format!("must be of type integer or string, such as 2, \"500m\" or 4Gi, but is {}", found(node));
                self.refuse(field, text, node.at);
                Value::Null
            }
        }
    }
}

/// The path of a field of an object.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The value as kubectl sends it: a number without a fraction is a whole one.
pub fn json(node: &Node) -> Value {
    match &node.value {
        Yaml::Text(text) => Value::String(text.clone()),
        Yaml::List(items) => items.iter().map(json).collect(),
        Yaml::Map(fields) => {
            fields.iter().map(|(key, value)| (key.name.clone(), json(value))).collect::<Map<_, _>>().into()
        }
        Yaml::Word(Word::Null | Word::Text, _) => Value::Null,
        Yaml::Word(Word::Bool(value), _) => Value::Bool(*value),
        Yaml::Word(Word::Integer(value), _) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (Err(_), Ok(value)) => value.into(),
            (Err(_), Err(_)) => Value::Null,
        },
        Yaml::Word(Word::Float(value), _) => match whole(node).and_then(|whole| i64::try_from(whole).ok()) {
            Some(whole) => whole.into(),
            None => (*value).into(),
        },
    }
}

/// The number, if it has no fraction and fits 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are those of the type")]
fn whole(node: &Node) -> Option<i128> {
    match node.value {
        Yaml::Word(Word::Integer(value), _) => Some(value),
        Yaml::Word(Word::Float(value), _) if value.fract() == 0.0 && value.abs() < 2f64.powi(63) => Some(value as i128),
        _ => None,
    }
}

fn is_finite(node: &Node) -> bool {
    !matches!(node.value, Yaml::Word(Word::Float(value), _) if !value.is_finite())
}

fn mismatch(wanted: &str, schema: &Value, node: &Node) -> String {
    let wanted = match wanted {
        "string" => match &node.value {
            Yaml::Word(Word::Bool(value), raw) => {
                return format!("must be text, but {raw} without quotes means {value}; write \"{raw}\"");
            }
            Yaml::Word(_, raw) if !node.is_null() => {
                return format!("must be text, but {raw} without quotes is a number; write \"{raw}\"");
            }
            _ => "text",
        },
        "integer" if schema["minimum"].as_i64().is_some_and(|least| least >= 0) => "a whole number, 0 or more",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object with fields of its own",
    };
    format!("must be {wanted}, but is {}", found(node))
}

fn found(node: &Node) -> String {
    match &node.value {
        Yaml::Text(text) => format!("{text:?}"),
        Yaml::Word(Word::Null, _) => "nothing".to_owned(),
        Yaml::Word(_, raw) => raw.clone(),
        Yaml::List(_) => "a list".to_owned(),
        Yaml::Map(_) => "an object".to_owned(),
    }
}

fn unknown(properties: &Map<String, Value>) -> String {
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    format!("unknown field; use one of {}", known.join(", "))
}
