//! What `validate` refuses: the field, what is wrong with it, and what to write instead.
//!
//! Owns the closed list of refusals and the checks that several kinds share. Never stops at the first one: a person who
//! wrote three mistakes reads three remedies.

use std::fmt;

use bedplate_crds::uri::ShownUri;
use serde::Serialize;

use crate::{
    bounds,
    resource::{Kind, Metadata, Resource},
};

/// Longest name that still fits a label value and the host name of a pod (RFC 1123).
const MAX_NAME_CHARS: usize = 63;

/// One refused field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A list or string that must hold something.
    #[error("{field} is empty; {remedy}")]
    Empty {
        /// Path of the field.
        field: String,
        /// What to write.
        remedy: String,
    },
    /// A value outside its bounds.
    #[error("{field} is {value}; it must be {allowed}")]
    OutOfRange {
        /// Path of the field.
        field: String,
        /// What was written.
        value: String,
        /// What may be written.
        allowed: String,
    },
    /// A number that another one does not divide.
    #[error("{field} is {value}, which {divisor_field} ({divisor}) does not divide; {remedy}")]
    NotDivisible {
        /// Path of the field.
        field: String,
        /// Its value.
        value: u64,
        /// Path of the divisor.
        divisor_field: String,
        /// Its value.
        divisor: u64,
        /// What to write.
        remedy: String,
    },
    /// Two fields that must agree.
    #[error("{field} is {value}, but {other_field} is {other_value}; {remedy}")]
    Disagrees {
        /// Path of the field.
        field: String,
        /// Its value.
        value: String,
        /// Path of the other field.
        other_field: String,
        /// Its value.
        other_value: String,
        /// What to write.
        remedy: String,
    },
    /// A name that Kubernetes would refuse.
    #[error(
        "{field} is {value:?}; a name has 1 to 63 lower-case letters, digits and '-', and begins and ends with a letter or digit"
    )]
    Name {
        /// Path of the field.
        field: String,
        /// What was written.
        value: String,
    },
    /// A uri of a scheme that cannot be used here.
    #[error("{field} is {uri:?}; use one of {allowed}")]
    Uri {
        /// Path of the field.
        field: String,
        /// What was written.
        uri: ShownUri,
        /// The uris that can be used here.
        allowed: String,
    },
    /// A name or a value that Kubernetes would refuse.
    #[error("{field} is {value:?}; {remedy}")]
    Unusable {
        /// Path of the field.
        field: String,
        /// What was written.
        value: String,
        /// What may be written.
        remedy: String,
    },
    /// A glob that does not parse.
    #[error("{field} is {glob:?}, which is no glob: {reason}")]
    Glob {
        /// Path of the field.
        field: String,
        /// What was written.
        glob: String,
        /// Why it does not parse.
        reason: String,
    },
    /// The same thing named twice.
    #[error("{field} names {value:?} a second time; name it once")]
    Duplicate {
        /// Path of the field.
        field: String,
        /// What was repeated.
        value: String,
    },
}

/// Everything wrong with one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Kind of the resource.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// At least one refusal, in the order of the spec.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} is invalid: ", self.kind, self.name)?;
        for (i, violation) in self.violations.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Gathers refusals while the fields are checked in turn.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    violations: Vec<Violation>,
}

impl Checks {
    /// Checks of the metadata, which every kind begins with.
    pub fn of(metadata: &Metadata) -> Self {
        let mut checks = Self::default();
        checks.name("metadata.name", &metadata.name);
        checks.name("metadata.namespace", &metadata.namespace);
        checks
    }

    /// Records a refusal.
    pub fn refuse(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Refuses a value unless it is allowed.
    pub fn range(&mut self, field: &str, value: impl fmt::Display, is_allowed: bool, allowed: &str) {
        if !is_allowed {
            let value = value.to_string();
            self.refuse(Violation::OutOfRange { field: field.to_owned(), value, allowed: allowed.to_owned() });
        }
    }

    /// Refuses zero.
    pub fn positive(&mut self, field: &str, value: u64) {
        self.range(field, value, value > 0, "at least 1");
    }

    /// Refuses a name that is no RFC 1123 label.
    pub fn name(&mut self, field: &str, value: &str) {
        if !is_dns_label(value) {
            self.refuse(Violation::Name { field: field.to_owned(), value: value.to_owned() });
        }
    }

    /// Refuses a uri that begins with none of the schemes, or ends with its scheme.
    pub fn uri(&mut self, field: &str, uri: &str, schemes: &[&str], allowed: &str) {
        let has_body = |scheme: &&str| uri.strip_prefix(*scheme).is_some_and(|rest| !rest.trim_matches('/').is_empty());
        if !schemes.iter().any(has_body) {
            self.refuse(Violation::Uri {
                field: field.to_owned(),
                uri: ShownUri::new(uri),
                allowed: allowed.to_owned(),
            });
        }
    }

    /// The outcome: nothing, or all that was refused. Where that is nothing, the bounds of the CRD have the last word.
    pub fn finish<S: Serialize>(mut self, kind: Kind, resource: &Resource<S>) -> Result<(), Invalid> {
        if self.violations.is_empty() {
            // A spec has no key that is not text, the one thing that JSON cannot hold.
            let spec = serde_json::to_value(&resource.spec).unwrap_or_default();
            bounds::check(&mut self, "spec", &spec, bounds::spec_schema(kind));
        }
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Invalid { kind, name: resource.metadata.name.clone(), violations: self.violations })
    }
}

fn is_dns_label(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME_CHARS).contains(&value.len())
        && value.bytes().all(inner)
        && !value.starts_with('-')
        && !value.ends_with('-')
}
