//! Resource quantities in Kubernetes' notation: `2`, `500m`, `4Gi`.
//!
//! Owns how they are read (a YAML number or a string) and what is one. Never adds or compares them.

use std::{collections::BTreeMap, fmt};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::labels;

/// Suffixes of the canonical forms (`resource.Quantity` of Kubernetes' apimachinery).
const SUFFIXES: [&str; 16] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "M", "G", "T", "P", "E"];

/// Most characters of a quantity.
const MAX_CHARS: usize = 32;
/// Resources without a domain that a container can ask for, besides `hugepages-SIZE`
/// (`IsStandardContainerResourceName` of Kubernetes' `pkg/apis/core/helper`).
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What the name of a resource must be.
pub const RESOURCE_NAME: &str =
    "a resource is cpu, memory, ephemeral-storage, hugepages-SIZE, or has a domain as in nvidia.com/gpu";
/// What the quantity of a resource with a domain must be.
pub const WHOLE: &str =
    "a resource with a domain, such as nvidia.com/gpu, comes in whole numbers: it cannot be shared by halves";

/// Whether a container can ask for a resource of that name.
pub fn is_resource_name(name: &str) -> bool {
    match name.split_once('/') {
        None => {
            let size = name.strip_prefix("hugepages-");
            STANDARD.contains(&name) || size.is_some_and(|size| !size.is_empty() && is_quantity(size))
        }
        Some(_) => labels::is_key(name) && !name.contains("kubernetes.io"),
    }
}

/// Whether a resource of that name can come in that quantity: one with a domain is counted, not measured.
pub fn may_be(name: &str, quantity: &str) -> bool {
    let is_whole = |amount: f64| amount.fract() == 0.0 && amount < 2f64.powi(63);
    !name.contains('/') || amount(quantity).is_none_or(is_whole)
}

/// Whether the text is a quantity that is not negative.
pub fn is_quantity(text: &str) -> bool {
    if text.len() > MAX_CHARS {
        return false;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
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

/// A quantity as a number (`resource.Quantity` of Kubernetes' apimachinery); none if it is no quantity.
pub fn amount(quantity: &str) -> Option<f64> {
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    let unsigned = quantity.strip_prefix('+').unwrap_or(quantity);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let power_of = |table: &[(&str, i32)]| table.iter().find(|(name, _)| *name == suffix).map(|(_, power)| *power);
    if let Some(power) = power_of(&BINARY) {
        return number.parse().ok().map(|number: f64| number * 2f64.powi(power));
    }
    let power = power_of(&DECIMAL).or_else(|| suffix.strip_prefix(['e', 'E'])?.parse().ok())?;
    // Read as one number, so that 1.1e1 is 11 and not a little more.
    format!("{number}e{power}").parse().ok()
}

/// Reads a map of quantities, each a number or a string.
pub(crate) fn deserialize_map<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, IntOrString> = BTreeMap::deserialize(from)?;
    Ok(map.into_iter().map(|(name, quantity)| (name, quantity.0)).collect())
}

/// [`is_resource_name`] as a CEL rule.
const RESOURCE_NAME_RULE: &str = "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || \
     name.matches('^hugepages-[0-9.]+[A-Za-z]{0,2}$') || \
     name.size() <= 317 && !name.contains('kubernetes.io') && name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?\
     (\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
/// [`may_be`] as a CEL rule. What is no quantity is told by the pattern.
const WHOLE_RULE: &str = "self.all(name, !name.contains('/') || type(self[name]) == int || \
     !isQuantity(string(self[name])) || quantity(string(self[name])).asApproximateFloat() == \
     double(int(quantity(string(self[name])).asApproximateFloat())))";

/// Schema of such a map.
pub(crate) fn map_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "x-kubernetes-validations": [
            { "rule": RESOURCE_NAME_RULE, "message": RESOURCE_NAME },
            { "rule": WHOLE_RULE, "message": WHOLE }
        ],
        "additionalProperties": {
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]+))?$",
            "maxLength": MAX_CHARS
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
