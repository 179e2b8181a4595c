//! JSON as Python's `json` writes it: with `NaN`, `Infinity` and `-Infinity`, which the standard has no words for.
//!
//! Owns nothing but the difference to JSON. Each such word becomes a text that says the same, so that a field nobody reads
//! stands in nobody's way and a field that is read is refused with its value.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file's content.
///
/// # Errors
/// When it is no JSON, or not of the type.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    serde_json::from_slice(&quote_words(bytes))
}

/// Puts quotes around the words, where they stand outside of strings.
fn quote_words(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !WORDS.iter().any(|word| bytes.windows(word.len()).any(|window| window == *word)) {
        return Cow::Borrowed(bytes);
    }
    let (mut out, mut at, mut in_string) = (Vec::with_capacity(bytes.len() + 16), 0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let word = WORDS.iter().find(|word| !in_string && rest.starts_with(word));
        let taken = match (word, rest[0]) {
            (Some(word), _) => {
                out.push(b'"');
                out.extend_from_slice(word);
                out.push(b'"');
                at += word.len();
                continue;
            }
            (None, b'\\') if in_string => 2.min(rest.len()),
            (None, b'"') => {
                in_string = !in_string;
                1
            }
            _ => 1,
        };
        out.extend_from_slice(&rest[..taken]);
        at += taken;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pythons_words_for_numbers_are_read_and_texts_stay_as_they_are() {
        let text = r#"{"a": NaN, "b": [Infinity, -Infinity, 1], "c": "NaN \" Infinity", "NaN": {"d": -1e5}}"#;
        let read: Value = from_slice(text.as_bytes()).unwrap();
        let want = json!({"a": "NaN", "b": ["Infinity", "-Infinity", 1], "c": "NaN \" Infinity", "NaN": {"d": -1e5}});
        assert_eq!(read, want);
    }

    #[test]
    fn a_byte_order_mark_is_no_content_and_broken_json_stays_broken() {
        assert_eq!(from_slice::<Value>(b"\xEF\xBB\xBF{}").unwrap(), json!({}));
        for broken in [&b"{\"a\": NaN"[..], b"{\"a\": Nan}", b"{\"a\": NaNa}", b"\"\\", b""] {
            from_slice::<Value>(broken).unwrap_err();
        }
    }
}
