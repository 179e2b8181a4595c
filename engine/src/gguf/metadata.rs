//! The key-value section. Integers are widened to 64 bits, arrays are typed vectors. It never nests arrays: no model
//! file uses them and refusing bounds the recursion.

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
}

/// A metadata array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
}

/// All metadata by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

const KIND_STRING: u32 = 8;
const KIND_ARRAY: u32 = 9;

impl Metadata {
    pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Self, GgufError> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = cursor.string("metadata key")?.to_owned();
            let kind = cursor.u32("metadata value type")?;
            let value =
                if kind == KIND_ARRAY { Value::Array(read_array(cursor, &key)?) } else { scalar(cursor, &key, kind)? };
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
        KIND_STRING => Value::String(cursor.string(WHAT)?.to_owned()),
        10 => Value::Unsigned(cursor.u64(WHAT)?),
        11 => Value::Signed(i64::from_le_bytes(cursor.array(WHAT)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.array(WHAT)?)),
        kind => return Err(GgufError::ValueType { key: key.into(), kind }),
    })
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<Array, GgufError> {
    let kind = cursor.u32("metadata array type")?;
    // Every element takes at least one byte, so what is left of the file bounds what may be allocated.
    let limit = (cursor.remaining() as u64).min(MAX_ENTRIES * 64);
    let len = cursor.count("metadata array element", limit)?;
    let items = (0..len).map(|_| scalar(cursor, key, kind));
    match kind {
        KIND_STRING => items.map(|item| text(item?, key)).collect::<Result<_, _>>().map(Array::Strings),
        6 | 12 => items.map(|item| float(item?, key)).collect::<Result<_, _>>().map(Array::Floats),
        7 => items.map(|item| Ok(item? == Value::Bool(true))).collect::<Result<_, _>>().map(Array::Bools),
        _ => items.map(|item| integer(item?, key)).collect::<Result<_, _>>().map(Array::Integers),
    }
}

fn text(value: Value, key: &str) -> Result<String, GgufError> {
    if let Value::String(text) = value { Ok(text) } else { Err(wrong(key, "an array of strings")) }
}

fn float(value: Value, key: &str) -> Result<f64, GgufError> {
    if let Value::Float(number) = value { Ok(number) } else { Err(wrong(key, "an array of numbers")) }
}

fn integer(value: Value, key: &str) -> Result<i64, GgufError> {
    match value {
        Value::Unsigned(number) => i64::try_from(number).map_err(|_| wrong(key, "an array of 64-bit signed integers")),
        Value::Signed(number) => Ok(number),
        _ => Err(wrong(key, "an array of integers")),
    }
}

fn wrong(key: &str, expected: &'static str) -> GgufError {
    GgufError::WrongType { key: key.into(), expected }
}
