//! Resource quantities in Kubernetes' notation: `2`, `500m`, `4Gi`.
//!
//! Owns how they are read (a YAML number or a string) and what is one. Never adds or compares them.

use std::{collections::BTreeMap, fmt};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Suffixes of the canonical forms (`resource.Quantity` of Kubernetes' apimachinery).
const SUFFIXES: [&str; 16] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "M", "G", "T", "P", "E"];

/// Whether the text is a quantity that is not negative.
pub fn is_quantity(text: &str) -> bool {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let is_number = number.matches('.').count() <= 1 && number.bytes().any(|b| b.is_ascii_digit());
    is_number && (SUFFIXES.contains(&suffix) || is_exponent(suffix))
}

fn is_exponent(suffix: &str) -> bool {
    let Some(power) = suffix.strip_prefix(['e', 'E']) else { return false };
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    !power.is_empty() && power.bytes().all(|b| b.is_ascii_digit())
}

/// Reads a map of quantities, each a number or a string.
pub(crate) fn deserialize_map<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, IntOrString> = BTreeMap::deserialize(from)?;
    Ok(map.into_iter().map(|(name, quantity)| (name, quantity.0)).collect())
}

/// Schema of such a map.
pub(crate) fn map_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]+))?$",
            "maxLength": 32
        }
    })
}

struct IntOrString(String);

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = IntOrString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as 2, \"500m\" or \"4Gi\"")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<IntOrString, E> {
        Ok(IntOrString(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<IntOrString, E> {
        Ok(IntOrString(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<IntOrString, E> {
        Ok(IntOrString(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<IntOrString, E> {
        Ok(IntOrString(value.to_owned()))
    }
}
