//! The key-value section. Integers are widened to 64 bits, arrays are typed vectors. A value that has no place in these
//! types (text that is not UTF-8, lists of lists) is kept as what it is, and refused where it is asked for.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::{GgufError, MAX_ENTRIES};

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Array),
    /// What it is.
    Unreadable(&'static str),
}

/// A metadata array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
    /// What it is.
    Unreadable(&'static str),
}

/// All metadata by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

const KIND_STRING: u32 = 8;
const KIND_ARRAY: u32 = 9;
/// Lists in lists; the format sets no bound, and no file that is known of goes beyond two.
const MAX_NESTING: u32 = 8;
const NOT_UTF8: &str = "text that is not UTF-8";
const NESTED: &str = "a list of lists";
const TOO_LARGE: &str = "a list of integers beyond 64 bits with a sign";

impl Metadata {
    pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Self, GgufError> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = cursor.string("metadata key")?.to_owned();
            let kind = cursor.u32("metadata value type")?;
            let value = match kind {
                KIND_ARRAY => Value::Array(read_array(cursor, &key, 0)?),
                _ => scalar(cursor, &key, kind)?,
            };
            if entries.insert(key.clone(), value).is_some() {
                return Err(GgufError::DuplicateKey(key));
            }
        }
        Ok(Self(entries))
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn optional_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.optional(key, "an unsigned integer", |value| match value {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// One number, or a list that says the same number for every layer.
    pub fn optional_u64_of_every_layer(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.get(key) {
            Some(Value::Array(Array::Integers(layers))) => match layers.split_first() {
                Some((first, rest)) if rest.iter().all(|layer| layer == first) => {
                    u64::try_from(*first).map(Some).map_err(|_| wrong(key, "a list of unsigned integers"))
                }
                _ => Err(GgufError::PerLayer { key: key.into() }),
            },
            _ => self.optional_u64(key),
        }
    }

    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.optional_u64(key)?.ok_or_else(|| GgufError::MissingKey(key.into()))
    }

    pub fn optional_f64(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.optional(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        })
    }

    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.optional(key, "a boolean", |value| if let Value::Bool(flag) = value { Some(*flag) } else { None })
    }

    pub fn optional_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.optional(key, "a string", |value| if let Value::String(text) = value { Some(text.as_str()) } else { None })
    }

    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.optional_str(key)?.ok_or_else(|| GgufError::MissingKey(key.into()))
    }

    pub fn optional_strings(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        self.optional(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    pub fn optional_integers(&self, key: &str) -> Result<Option<&[i64]>, GgufError> {
        self.optional(key, "an array of integers", |value| match value {
            Value::Array(Array::Integers(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    pub fn optional_floats(&self, key: &str) -> Result<Option<&[f64]>, GgufError> {
        self.optional(key, "an array of numbers", |value| match value {
            Value::Array(Array::Floats(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if let Value::Unreadable(what) | Value::Array(Array::Unreadable(what)) = value {
            return Err(GgufError::Unreadable { key: key.into(), what });
        }
        read(value).map(Some).ok_or_else(|| GgufError::WrongType { key: key.into(), expected })
    }
}

fn scalar(cursor: &mut Cursor<'_>, key: &str, kind: u32) -> Result<Value, GgufError> {
    const WHAT: &str = "metadata value";
    Ok(match kind {
        0 => Value::Unsigned(cursor.array::<1>(WHAT)?[0].into()),
        1 => Value::Signed(i8::from_le_bytes(cursor.array(WHAT)?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(cursor.array(WHAT)?).into()),
        3 => Value::Signed(i16::from_le_bytes(cursor.array(WHAT)?).into()),
        4 => Value::Unsigned(cursor.u32(WHAT)?.into()),
        5 => Value::Signed(i32::from_le_bytes(cursor.array(WHAT)?).into()),
        6 => Value::Float(f32::from_le_bytes(cursor.array(WHAT)?).into()),
        7 => Value::Bool(cursor.array::<1>(WHAT)?[0] != 0),
        KIND_STRING => match std::str::from_utf8(cursor.sized_bytes(WHAT)?) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => Value::Unreadable(NOT_UTF8),
        },
        10 => Value::Unsigned(cursor.u64(WHAT)?),
        11 => Value::Signed(i64::from_le_bytes(cursor.array(WHAT)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.array(WHAT)?)),
        kind => return Err(GgufError::ValueType { key: key.into(), kind }),
    })
}

fn read_array(cursor: &mut Cursor<'_>, key: &str, depth: u32) -> Result<Array, GgufError> {
    let kind = cursor.u32("metadata array type")?;
    // Every element takes at least one byte, so what is left of the file bounds what may be allocated.
    let limit = (cursor.remaining() as u64).min(MAX_ENTRIES * 64);
    let len = cursor.count("metadata array element", limit)?;
    if kind == KIND_ARRAY {
        if depth == MAX_NESTING {
            return Err(GgufError::ValueType { key: key.into(), kind });
        }
        (0..len).try_for_each(|_| read_array(cursor, key, depth + 1).map(|_| ()))?;
        return Ok(Array::Unreadable(NESTED));
    }
    let items = (0..len).map(|_| scalar(cursor, key, kind));
    Ok(match kind {
        KIND_STRING => collect(items, text)?.map_or(Array::Unreadable(NOT_UTF8), Array::Strings),
        6 | 12 => collect(items, float)?.map_or(Array::Unreadable(TOO_LARGE), Array::Floats),
        7 => collect(items, |item| Some(item == Value::Bool(true)))?.map_or(Array::Unreadable(TOO_LARGE), Array::Bools),
        _ => collect(items, integer)?.map_or(Array::Unreadable(TOO_LARGE), Array::Integers),
    })
}

/// Reads all items, whether or not they can be kept: what follows begins behind them.
fn collect<T>(
    items: impl Iterator<Item = Result<Value, GgufError>>,
    keep: impl Fn(Value) -> Option<T>,
) -> Result<Option<Vec<T>>, GgufError> {
    let mut kept = Some(Vec::new());
    for item in items {
        match (keep(item?), &mut kept) {
            (Some(item), Some(kept)) => kept.push(item),
            _ => kept = None,
        }
    }
    Ok(kept)
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn float(value: Value) -> Option<f64> {
    if let Value::Float(number) = value { Some(number) } else { None }
}

fn integer(value: Value) -> Option<i64> {
    match value {
        Value::Unsigned(number) => i64::try_from(number).ok(),
        Value::Signed(number) => Some(number),
        _ => None,
    }
}

fn wrong(key: &str, expected: &'static str) -> GgufError {
    GgufError::WrongType { key: key.into(), expected }
}
