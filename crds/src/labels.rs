//! Labels and annotations, by the rules of `k8s.io/apimachinery/pkg/util/validation`.
//!
//! Owns what is a key and what is a value, as functions and as schemas. Never knows whose labels they are.

use serde_json::{Value, json};

/// Longest name, and longest value of a label.
const MAX_NAME_CHARS: usize = 63;
/// Longest prefix of a key: a DNS subdomain.
const MAX_PREFIX_CHARS: usize = 253;
/// Most bytes of all annotations of one object, keys and values together.
pub const MAX_ANNOTATION_BYTES: usize = 256 << 10;
/// What a key must be, for people.
pub const KEY: &str = "a key has 1 to 63 letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and may \
     have a domain and / before it";
/// What a value must be, for people.
pub const VALUE: &str = "a value is empty or has up to 63 letters, digits, '-', '_' and '.', and begins and ends with a \
     letter or digit";
/// A CEL rule on an object whose field names are keys: [`is_key`].
pub(crate) const KEY_RULE: &str = "self.all(key, key.size() <= 317 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?\
     (\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";

/// Schema of the value of a label: [`is_value`].
pub(crate) fn value_schema() -> Value {
    json!({ "type": "string", "maxLength": MAX_NAME_CHARS, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$" })
}

/// Whether the text is a key: a name, or a DNS subdomain, `/` and a name.
pub fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_name(text),
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
    }
}

/// Whether the text is the value of a label.
pub fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

/// Whether the text is a DNS subdomain (RFC 1123): lower-case labels with dots between them.
pub fn is_subdomain(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= MAX_PREFIX_CHARS && text.split('.').all(is_label)
}

fn is_name(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= MAX_NAME_CHARS && bytes.iter().all(|b| is_inner(*b)) && is_end(bytes.first()) && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_that_kubernetes_takes() {
        let long = "a".repeat(64);
        for key in ["a", "A.b_c-d", "example.com/team", "a-b.c/9", &long[1..]] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "a b", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a.", "a..b/c", "\u{e9}", &long] {
            assert!(!is_key(key), "{key}");
        }
        for value in ["", "a", "A.b_c-9", &long[1..]] {
            assert!(is_value(value), "{value}");
        }
        for value in ["a b", "-a", "a/b", "a\n", " ", &long] {
            assert!(!is_value(value), "{value}");
        }
    }
}
