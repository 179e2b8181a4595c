//! A text cut into its YAML documents, or its JSON values.
//!
//! Owns the cut alone: a document that is broken must not hide the ones after it. Never reads a document.

use serde::de::IgnoredAny;

/// Cuts a text of JSON values behind each of them, and any other one at its `---`.
pub fn cut(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}'); // What some editors put before UTF-8.
    json_values(text).unwrap_or_else(|| yaml_documents(text))
}

/// The values, each behind as many empty lines and blanks as stand before it in the text; none where it is not all JSON.
fn json_values(text: &str) -> Option<Vec<String>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut begin = 0;
    while let Some(value) = stream.next() {
        value.ok()?;
        let end = stream.byte_offset();
        let before = &text[..begin];
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        let (lines, blanks) = ("\n".repeat(before.matches('\n').count()), " ".repeat(column));
        values.push(format!("{lines}{blanks}{}", &text[begin..end]));
        begin = end;
    }
    Some(values)
}

/// Cuts at the lines that begin with `---` (YAML 1.2.2 §9.1.2 forbids them inside a document). Every part is preceded by
/// as many empty lines as the text before it has, so that the parser's line numbers are those of the file. A part that holds
/// nothing but comments is left out.
fn yaml_documents(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut has_content = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(rest) = after_marker(line) {
            if has_content {
                parts.push(String::new());
            }
            has_content = is_content(rest);
            let part = parts.last_mut().expect("there is always one part");
            *part = "\n".repeat(number);
            part.push_str(rest);
            part.push('\n');
            continue;
        }
        has_content |= is_content(line);
        let part = parts.last_mut().expect("there is always one part");
        part.push_str(line);
        part.push('\n');
    }
    if !has_content {
        parts.pop();
    }
    parts
}

fn after_marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---")?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(rest)
}

fn is_content(line: &str) -> bool {
    let trimmed = line.trim();
    !trimmed.is_empty() && !trimmed.starts_with('#') && trimmed != "..."
}
