//! `NaN`, `Infinity` and `-Infinity`, which Python writes for numbers that JSON has no word for.

/// What Python's json module and others of its kind write.
const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// `line` with `null` in the place of each such number; none where it holds none. Only values are looked at, never strings.
pub(super) fn as_nulls(line: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::new();
    let (mut at, mut copied) = (0, 0);
    let mut may_be_value = false;
    while let Some(&byte) = line.get(at) {
        let word =
            WORDS.iter().find(|word| may_be_value && line[at..].starts_with(word) && ends(line, at + word.len()));
        if let Some(word) = word {
            mended.extend_from_slice(&line[copied..at]);
            mended.extend_from_slice(b"null");
            at += word.len();
            copied = at;
            continue;
        }
        may_be_value = matches!(byte, b':' | b',' | b'[') || (may_be_value && byte.is_ascii_whitespace());
        at = if byte == b'"' { behind_string(line, at) } else { at + 1 };
    }
    if copied == 0 {
        return None;
    }
    mended.extend_from_slice(&line[copied..]);
    Some(mended)
}

/// Whether a value may end at `at`.
fn ends(line: &[u8], at: usize) -> bool {
    line.get(at).is_some_and(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace())
}

/// Where the string that begins at `at` is over.
fn behind_string(line: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = line.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_become_null() {
        let mended = |line: &str| as_nulls(line.as_bytes()).map(|line| String::from_utf8(line).unwrap());
        assert_eq!(mended(r#"{"a":NaN,"b":[ -Infinity ,Infinity]}"#).unwrap(), r#"{"a":null,"b":[ null ,null]}"#);
        assert_eq!(mended(r#"{"NaN,":"\\\":NaN,","é":NaN}"#).unwrap(), r#"{"NaN,":"\\\":NaN,","é":null}"#);
        for line in [r#"{"a":"NaN"}"#, r#"{"a":NaNs}"#, r#"{NaN:1}"#, r#"{"a":"[NaN,""#, "", r#"{"a":+Infinity}"#] {
            assert_eq!(mended(line), None, "{line}");
        }
    }
}
