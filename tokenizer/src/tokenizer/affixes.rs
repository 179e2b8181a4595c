//! The tokens that a tokenizer puts around every text of its own.
//!
//! Owns reading them out of a post-processor. Never decides which texts get them.

/// Texts of which at least one gives a token in any vocabulary that can be used.
const PROBES: [&str; 4] = ["a", "0", ".", "\n"];

/// Tokens in front of and behind a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Affixes {
    pub prefix: Vec<u32>,
    pub suffix: Vec<u32>,
}

impl Affixes {
    /// What the post-processor adds, whatever kind it is: it marks its own tokens in a text that it encodes.
    pub(crate) fn of(inner: &tokenizers::Tokenizer) -> Self {
        let probes = PROBES.iter().map(|text| (*text).to_owned()).chain(inner.id_to_token(0));
        probes.into_iter().find_map(|text| Self::around(inner, &text)).unwrap_or_default()
    }

    /// None where `text` has no tokens of its own, so that front and back cannot be told apart.
    fn around(inner: &tokenizers::Tokenizer, text: &str) -> Option<Self> {
        let encoding = inner.encode(text, true).ok()?;
        let (ids, is_added) = (encoding.get_ids(), encoding.get_special_tokens_mask());
        let first = is_added.iter().position(|added| *added == 0)?;
        let last = is_added.iter().rposition(|added| *added == 0)?;
        Some(Self { prefix: ids[..first].to_vec(), suffix: ids[last + 1..].to_vec() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.prefix.is_empty() && self.suffix.is_empty()
    }
}
