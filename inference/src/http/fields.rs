//! Acts on the table of documented fields: refuses what would change the answer and is not there, and tells the client
//! which fields nobody knows.
//!
//! Owns the header that names them. What a field does is not its business.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::body::JsonBody;
use crate::{
    error::ApiError,
    request_fields::{Endpoint, REQUEST_FIELDS, RequestField, Treatment},
};

/// Names the fields of the request that had no effect, because no documentation has them.
pub const IGNORED_FIELDS: HeaderName = HeaderName::from_static("bedplate-ignored-fields");
/// Most names in the header, and the longest of them: headers are bounded by proxies, at 4 KiB and more.
const MAX_NAMES: usize = 16;
const MAX_NAME_LEN: usize = 64;

/// Fields of a request that no row of the table knows, as many as are named.
#[derive(Debug, PartialEq, Eq)]
pub struct Ignored(Vec<String>);

/// Checks every field of a request to `endpoint`.
///
/// # Errors
/// Names the first field that would have to change the answer and cannot, and what to do instead.
pub fn check(body: &JsonBody, endpoint: Endpoint) -> Result<Ignored, ApiError> {
    let mut ignored = Vec::new();
    for (name, value) in body.entries() {
        judge(endpoint, name, name, value, &mut ignored)?;
    }
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, message) in messages.iter().enumerate() {
        for (name, value) in message.as_object().into_iter().flatten() {
            let place = format!("messages[{index}].{name}");
            judge(endpoint, &format!("messages[].{name}"), &place, value, &mut ignored)?;
        }
    }
    Ok(Ignored(ignored))
}

/// The table by endpoint and name: a request may have a million fields.
static ROWS: LazyLock<HashMap<(Endpoint, &str), &RequestField>> = LazyLock::new(|| {
    let keyed = |row: &'static RequestField| row.endpoints.iter().map(move |&endpoint| ((endpoint, row.name), row));
    REQUEST_FIELDS.iter().flat_map(keyed).collect()
});

/// Looks `name` up, which stands at `place` of the request.
fn judge(
    endpoint: Endpoint,
    name: &str,
    place: &str,
    value: &Value,
    ignored: &mut Vec<String>,
) -> Result<(), ApiError> {
    match ROWS.get(&(endpoint, name)).map(|row| (row, row.treatment)) {
        Some((row, Treatment::Refused(defaults))) if !is_default(value, defaults) => Err(refusal(row, place)),
        Some(_) => Ok(()),
        None => {
            if !value.is_null() && ignored.len() < MAX_NAMES && !ignored.iter().any(|known| known == name) {
                ignored.push(name.to_owned());
            }
            Ok(())
        }
    }
}

fn refusal(row: &RequestField, place: &str) -> ApiError {
    ApiError::invalid(place, format!("{place}: {}", row.reason))
}

/// Whether a value of a refused field asks for nothing.
fn is_default(value: &Value, defaults: &[&str]) -> bool {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    is_empty || defaults.iter().any(|default| is_same(value, &parsed(default)))
}

/// A value as the table writes it.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("a test parses every value of the table")
}

/// Equality in which 1 is 1.0.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl Ignored {
    /// The response, with the header if any field was ignored.
    pub fn noted_on(&self, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        let names: Vec<String> = self.0.iter().map(|name| printable(name)).collect();
        if let Some(value) = HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty()) {
            response.headers_mut().insert(IGNORED_FIELDS, value);
        }
        response
    }
}

/// A name that a client chose, as a header can carry it: other letters than ASCII's printable ones, and commas, become `?`.
fn printable(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_graphic() && letter != ',' { letter } else { '?' };
    name.chars().take(MAX_NAME_LEN).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_one_row_a_field_and_its_values_are_json() {
        for (index, row) in REQUEST_FIELDS.iter().enumerate() {
            assert!(!row.endpoints.is_empty() && !row.documented_by.is_empty() && !row.reason.is_empty(), "{row:?}");
            let example = parsed(row.example);
            if let Treatment::Refused(defaults) = row.treatment {
                assert!(!is_default(&example, defaults), "{row:?}");
                defaults.iter().for_each(|default| assert!(is_default(&parsed(default), defaults)));
            }
            let twice = REQUEST_FIELDS[..index]
                .iter()
                .find(|other| other.name == row.name && other.endpoints.iter().any(|at| row.endpoints.contains(at)));
            assert!(twice.is_none(), "{row:?} and {twice:?}");
        }
    }

    #[test]
    fn a_default_is_one_however_it_is_written() {
        for default in ["null", "\"\"", "[]", "{}", "1", "1.0"] {
            assert!(is_default(&parsed(default), &["1"]), "{default}");
        }
        for other in ["2", "true", "\"1\"", "[1]"] {
            assert!(!is_default(&parsed(other), &["1"]), "{other}");
        }
    }

    #[test]
    fn a_header_carries_any_name() {
        let named = Ignored(vec!["a b".into(), "grüße".into(), "x,y\r\n".into(), "z".repeat(99)]).noted_on(());
        assert_eq!(named.headers()[IGNORED_FIELDS], format!("a?b, gr??e, x?y??, {}", "z".repeat(MAX_NAME_LEN)));
        assert!(!Ignored(Vec::new()).noted_on(()).headers().contains_key(IGNORED_FIELDS));
    }
}
