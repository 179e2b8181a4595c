//! A text that is handed on and never shown.
//!
//! Owns that it does not appear in a log. Never makes one.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret: serialises as it is, prints as `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whoever has to prove that it knows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_handed_on_but_not_printed() {
        let secret = Secret::new("4711".to_owned());
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"4711\"");
        assert_eq!(format!("{secret:?}"), "***");
    }
}
