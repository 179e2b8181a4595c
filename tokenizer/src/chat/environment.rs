//! The Jinja environment that transformers renders chat templates in.
//!
//! Owns block trimming and the functions, filters and tests that templates expect. Never renders by itself.

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    formatting::{FormatStyle, format},
    syntax::SyntaxConfig,
    value::{Kwargs, Rest, Tuple, ValueKind},
};

use super::{json, methods, rewrite};

/// Most steps of one rendering, so that a template that a request brings along cannot loop for ever. A step is an
/// instruction or 64 bytes made; a message takes some hundred.
const FUEL: u64 = 10_000_000;

/// Marks an error as one that the template raised on purpose.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// What transformers gives a template: `ImmutableSandboxedEnvironment` with `trim_blocks`, `lstrip_blocks`, loop controls,
/// the tag `generation` (see [`rewrite`]) and functions of its own.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(methods::call);
    minijinja_contrib::add_to_environment(&mut environment);
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.to_vec()));
    environment.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        let raised = Raised(message.to_string());
        Err(Error::new(ErrorKind::InvalidOperation, "the template raised an exception").with_source(raised))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_function(rewrite::PERCENT, percent);
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("center", methods::center);
    environment.add_filter("truncate", |state: &mut State<'_, '_>, text: &Value, given: Rest<Value>, named: Kwargs| {
        minijinja_contrib::filters::truncate(
            state,
            text,
            by_name(&["length", "killwords", "end", "leeway"], &given, named)?,
        )
    });
    environment.add_filter("wordwrap", |text: &Value, given: Rest<Value>, named: Kwargs| {
        let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
        minijinja_contrib::filters::wordwrap(text, by_name(&names, &given, named)?)
    });
    // For Python a string is a sequence of characters, and an undefined value one without any.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map)
    });
    environment.add_test("iterable", |value: &Value| {
        let kind = value.kind();
        matches!(kind, ValueKind::String | ValueKind::Undefined)
            || (kind != ValueKind::None && value.try_iter().is_ok())
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment
}

/// Arguments given by position and by name as arguments by name.
fn by_name(names: &[&str], given: &[Value], named: Kwargs) -> Result<Kwargs, Error> {
    let by_position = names.iter().zip(given).map(|(name, value)| ((*name).to_owned(), value.clone()));
    let rest = named.args().map(|name| Ok((name.to_owned(), named.get::<Value>(name)?)));
    let all = by_position.map(Ok).chain(rest).collect::<Result<Vec<_>, Error>>()?;
    Ok(all.into_iter().collect())
}

/// What the template itself said when it raised this error.
pub(super) fn refusal(error: &Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(Raised(reason)) = inner.downcast_ref::<Raised>() {
            return Some(reason.clone());
        }
        source = inner.source();
    }
    None
}

/// The error and its causes on one line.
pub(super) fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text.lines().collect::<Vec<_>>().join(" ")
}

/// The local time in `format`, as Python's `strftime` writes it.
fn strftime_now(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let mut text = String::new();
    // chrono reports an unknown directive as a formatting error.
    write!(text, "{}", chrono::Local::now().format(format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: bad format `{format}`")))?;
    Ok(text)
}

/// Python's `left % right`: formats a string, or is the remainder with the sign of `right`.
fn percent(left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let arguments = match right.downcast_object_ref::<Tuple>() {
            Some(tuple) => tuple.to_vec(),
            None => vec![right.clone()],
        };
        return format(FormatStyle::Printf, text, &arguments).map(Value::from);
    }
    let impossible = || {
        let kinds = format!("tried to use % operator on unsupported types {} and {}", left.kind(), right.kind());
        Error::new(ErrorKind::InvalidOperation, kinds)
    };
    if let (Ok(left), Ok(right)) = (i64::try_from(left.clone()), i64::try_from(right.clone()))
        && left.checked_rem(right).is_some()
    {
        let remainder = left % right;
        let is_other_sign = remainder != 0 && (remainder < 0) != (right < 0);
        return Ok(Value::from(if is_other_sign { remainder + right } else { remainder }));
    }
    let (left, right) = (f64::try_from(left.clone()), f64::try_from(right.clone()));
    match (left, right) {
        (Ok(left), Ok(right)) if right != 0.0 => Ok(Value::from(left - right * (left / right).floor())),
        _ => Err(impossible()),
    }
}
