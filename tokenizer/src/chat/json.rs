//! The filter `tojson` as transformers defines it: Python's `json.dumps`.
//!
//! Owns the text of JSON, down to blanks and numbers. Keys keep their order and nothing is escaped for HTML.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// Deepest nesting; requests are not deeper either.
const MAX_DEPTH: usize = 128;

/// How the JSON is to look.
struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// `value|tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`, also by position.
pub(super) fn to_json(
    value: &Value,
    positional: minijinja::value::Rest<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let mut text = String::new();
    write(&mut text, value, &Style::read(&positional, &named)?, 0)?;
    Ok(text)
}

impl Style {
    fn read(positional: &[Value], named: &Kwargs) -> Result<Self, Error> {
        let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
            let named: Option<Value> = named.get(name)?;
            Ok(named
                .or_else(|| positional.get(index).cloned())
                .filter(|value| !value.is_none() && !value.is_undefined()))
        };
        let indent = argument(1, "indent")?.map(|indent| match indent.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => i64::try_from(indent.clone()).map(|width| " ".repeat(width.clamp(0, 64) as usize)),
        });
        let indent = indent.transpose()?;
        // Behind a line's end a space would be one too many: so json.dumps has it.
        let mut separators = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
        if let Some(pair) = argument(2, "separators")? {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            let [item, key] = pair.as_slice() else {
                return Err(invalid("tojson: separators takes two strings, such as (',', ':')"));
            };
            separators = (item.to_string(), key.to_string());
        }
        let flag = |index, name| Ok::<_, Error>(argument(index, name)?.is_some_and(|value| value.is_true()));
        let style = Self {
            ensure_ascii: flag(0, "ensure_ascii")?,
            sort_keys: flag(3, "sort_keys")?,
            indent,
            item_separator: separators.0,
            key_separator: separators.1,
        };
        named.assert_all_used()?;
        Ok(style)
    }

    fn line(&self, text: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            text.push('\n');
            text.push_str(&indent.repeat(depth));
        }
    }
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.to_owned())
}

fn write(text: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(invalid("tojson: the value is nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => text.push_str("null"),
        ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => text.push_str(&number(value)),
        ValueKind::String => quote(text, value.as_str().unwrap_or_default(), style.ensure_ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            bracket(text, ['[', ']'], &items, style, depth, |text, item| write(text, item, style, depth + 1))?;
        }
        ValueKind::Map => {
            let mut entries = value
                .try_iter()?
                .map(|key| Ok((name(&key)?, value.get_item(&key)?)))
                .collect::<Result<Vec<_>, Error>>()?;
            if style.sort_keys {
                entries.sort_by(|left, right| left.0.cmp(&right.0));
            }
            bracket(text, ['{', '}'], &entries, style, depth, |text, (name, value)| {
                quote(text, name, style.ensure_ascii);
                text.push_str(&style.key_separator);
                write(text, value, style, depth + 1)
            })?;
        }
        kind => return Err(invalid(&format!("tojson: a value of type {kind} has no JSON"))),
    }
    Ok(())
}

fn bracket<T>(
    text: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    style: &Style,
    depth: usize,
    mut item: impl FnMut(&mut String, &T) -> Result<(), Error>,
) -> Result<(), Error> {
    text.push(open);
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(&style.item_separator);
        }
        style.line(text, depth + 1);
        item(text, value)?;
    }
    if !items.is_empty() {
        style.line(text, depth);
    }
    text.push(close);
    Ok(())
}

/// A key of an object: JSON knows strings only.
fn name(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.to_string()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Number => Ok(number(key)),
        kind => Err(invalid(&format!("tojson: a key of type {kind} has no JSON"))),
    }
}

/// A number as Python writes it.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // The shortest digits that read back as the same number; Python turns to exponents below 1e-4 and from 1e16 on.
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..16) if exponent < 0 || number.fract() != 0.0 => format!("{number}"),
        Ok(-4..16) => format!("{number:.1}"),
        Ok(exponent) => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => shortest,
    }
}

fn quote(text: &mut String, content: &str, ensure_ascii: bool) {
    text.push('"');
    for character in content.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            control if control < ' ' => escape(text, control),
            other if ensure_ascii && !(' '..='~').contains(&other) => escape(text, other),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// `\uXXXX`, as two halves beyond the basic plane.
fn escape(text: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(text, "\\u{unit:04x}").expect("a string takes every byte");
    }
}
