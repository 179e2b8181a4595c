//! Methods of Python's values that templates call and `minijinja_contrib` lacks.
//!
//! Owns methods of strings, lists and dictionaries. Like the sandbox that templates run in at transformers, it offers
//! none that changes its value.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Tuple, ValueKind, from_args},
};
use minijinja_contrib::pycompat;

/// Widest field that a method fills.
const MAX_WIDTH: usize = 1 << 16;

/// Calls a method that Jinja itself does not know.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => string(text, method, arguments),
        (None, ValueKind::Seq) if method == "index" => list_index(value, arguments).map(Some),
        (None, ValueKind::Seq | ValueKind::Map) if method == "copy" => Ok(Some(value.clone())),
        _ => Ok(None),
    };
    match own? {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, method, arguments),
    }
}

/// None where the method is not one of these.
fn string(text: &str, method: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "partition" | "rpartition" => partition(text, method == "rpartition", arguments)?,
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(arguments)?;
            let cut = if method == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            Value::from(cut.unwrap_or(text))
        }
        "rsplit" => rsplit(text, arguments)?,
        "splitlines" if arguments.is_empty() => split_lines(text),
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => {
            return search(text, method, arguments);
        }
        "ljust" | "rjust" | "center" | "zfill" => fill(text, method, arguments)?,
        "swapcase" => text.chars().map(swapped).collect::<String>().into(),
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "isdecimal" => Value::from(!text.is_empty() && text.chars().all(char::is_numeric)),
        "strip" | "lstrip" | "rstrip" if arguments.first().is_some_and(Value::is_none) => {
            return string(text, method, &[]);
        }
        "strip" if arguments.is_empty() => Value::from(text.trim()),
        "lstrip" if arguments.is_empty() => Value::from(text.trim_start()),
        "rstrip" if arguments.is_empty() => Value::from(text.trim_end()),
        _ => return Ok(None),
    }))
}

fn partition(text: &str, from_the_right: bool, arguments: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(arguments)?;
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let found = if from_the_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((before, behind)) => [before, separator, behind],
        None if from_the_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn rsplit(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator, most): (Option<&str>, Option<i64>) = from_args(arguments)?;
    let count = most.filter(|most| *most >= 0).map_or(usize::MAX, |most| most as usize + 1);
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(separator) => text.rsplitn(count, separator).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end();
            while !rest.is_empty() {
                let cut = rest.rfind(char::is_whitespace).filter(|_| parts.len() + 1 < count);
                let Some(cut) = cut else {
                    parts.push(if parts.len() + 1 < count { rest.trim_start() } else { rest });
                    break;
                };
                let word = cut + rest[cut..].chars().next().map_or(1, char::len_utf8);
                parts.push(&rest[word..]);
                rest = rest[..cut].trim_end();
            }
            parts
        }
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Python's lines also end with a lone `\r` and Unicode's line ends.
fn split_lines(text: &str) -> Value {
    const ENDS: [char; 9] = ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{85}', '\u{2028}', '\u{2029}'];
    let unified = text.replace("\r\n", "\n");
    let mut lines: Vec<&str> = unified.split(ENDS).collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    lines.into_iter().map(Value::from).collect()
}

/// Searches, which may be given the part of the text to search in. Without one the library knows them, but for `index`.
fn search(text: &str, method: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    let is_index = matches!(method, "index" | "rindex");
    if arguments.len() < 2 && !is_index {
        return Ok(None);
    }
    let (wanted, start, end): (&Value, Option<i64>, Option<i64>) = from_args(arguments)?;
    let characters: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let length = characters.len() - 1;
    let place =
        |at: i64| if at < 0 { length.saturating_sub(at.unsigned_abs() as usize) } else { length.min(at as usize) };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(i64::MAX)));
    let part = if start <= end { &text[characters[start]..characters[end]] } else { "" };
    if matches!(method, "startswith" | "endswith") {
        let fits = |affix: &str| if method == "startswith" { part.starts_with(affix) } else { part.ends_with(affix) };
        let any = match wanted.as_str() {
            Some(affix) => fits(affix),
            None => wanted.try_iter()?.any(|affix| affix.as_str().is_some_and(fits)),
        };
        return Ok(Some(Value::from(any)));
    }
    let Some(wanted) = wanted.as_str() else {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("{method} takes a string")));
    };
    if method == "count" {
        return Ok(Some(Value::from(part.matches(wanted).count())));
    }
    let found = if method.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) };
    match found {
        Some(at) => Ok(Some(Value::from(start + part[..at].chars().count()))),
        None if is_index => Err(Error::new(ErrorKind::InvalidOperation, "substring not found")),
        None => Ok(Some(Value::from(-1))),
    }
}

fn fill(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (width, with): (i64, Option<char>) = from_args(arguments)?;
    let width = usize::try_from(width).unwrap_or(0).min(MAX_WIDTH);
    let missing = width.saturating_sub(text.chars().count());
    let blanks = |count: usize| with.unwrap_or(' ').to_string().repeat(count);
    Ok(Value::from(match method {
        "ljust" => text.to_owned() + &blanks(missing),
        "rjust" => blanks(missing) + text,
        // Python gives an odd blank to the left where the width is odd.
        "center" => {
            let left = missing / 2 + (missing & width & 1);
            blanks(left) + text + &blanks(missing - left)
        }
        _ => {
            let sign = text.len() - text.trim_start_matches(['+', '-']).len();
            let (sign, digits) = text.split_at(sign.min(1));
            sign.to_owned() + &"0".repeat(missing) + digits
        }
    }))
}

/// The filter `center`, whose width is 80 unless it is given.
pub(super) fn center(text: &Value, width: Option<i64>) -> Result<Value, Error> {
    fill(&text.to_string(), "center", &[Value::from(width.unwrap_or(80))])
}

fn swapped(character: char) -> char {
    let mut other = character.to_lowercase();
    if !character.is_lowercase() {
        return other.next().unwrap_or(character);
    }
    character.to_uppercase().next().unwrap_or(character)
}

fn list_index(list: &Value, arguments: &[Value]) -> Result<Value, Error> {
    let (wanted,): (&Value,) = from_args(arguments)?;
    let place = list.try_iter()?.position(|item| item == *wanted);
    place.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the value is not in the list"))
}
