//! Everything that is wrong with the manifests, told at once.
//!
//! Owns the shape of the list a person reads. Never decides what is wrong.

use std::fmt;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where: `file, document 2`; none where the text names its place itself.
    pub place: Option<String>,
    /// What is wrong and what to write instead.
    pub text: String,
}

impl Refusal {
    /// A refusal whose text says where.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { place: None, text: text.to_string() }
    }

    /// A refusal of the document at that place.
    pub fn at(place: &str, text: impl fmt::Display) -> Self {
        Self { place: Some(place.to_owned()), text: text.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// At least one refusal, in the order of the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<Refusal>);

impl Refused {
    /// The value, unless something was refused.
    pub fn unless_empty<T>(refusals: Vec<Refusal>, value: T) -> Result<T, Self> {
        if refusals.is_empty() { Ok(value) } else { Err(Self(refusals)) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            several => {
                write!(f, "{} problems", several.len())?;
                several.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
            }
        }
    }
}

impl std::error::Error for Refused {}
