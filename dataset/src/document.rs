//! A document on its way through the pipeline, and the digest that decides everything random about it.

/// One text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Path inside its source, with line or row where a file holds several; for messages only.
    pub origin: String,
    /// The text; bytes until `utf8Repair` or the end of the pipeline has looked at them.
    pub text: Vec<u8>,
}

/// blake3 of a document's final text. Its parts are independent random numbers fixed by the content alone: whether the
/// document is held out, and when the tokenizer's training comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(pub [u8; 32]);

impl ContentDigest {
    /// Digest of `text`.
    pub fn of(text: &[u8]) -> Self {
        Self(*blake3::hash(text).as_bytes())
    }

    /// The 16 bytes that stand for the text in exact deduplication: among 2^32 documents, two different ones share them
    /// with a probability below 2^-64.
    pub fn identity(&self) -> u128 {
        u128::from_le_bytes(*self.0.first_chunk().expect("a digest has 32 bytes"))
    }

    /// Place in the order in which the tokenizer's training takes documents.
    pub fn training_order(&self) -> u64 {
        self.word(16)
    }

    /// The number that decides about the hold-out.
    pub fn lot(&self) -> Lot {
        Lot(self.word(24))
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.0[at..].first_chunk().expect("a digest has 32 bytes"))
    }
}

/// A document's number in the draw for the hold-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot(pub u64);

impl Lot {
    /// Whether the document is kept back from training at a hold-out share of `ratio`.
    pub fn is_held_out(self, ratio: f64) -> bool {
        // The top 53 bits are exact in an f64.
        let uniform = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_is_held_out_and_a_larger_share_contains_a_smaller() {
        let lots: Vec<_> = (0..20_000_u32).map(|i| ContentDigest::of(&i.to_le_bytes()).lot()).collect();
        let count = |ratio| lots.iter().filter(|lot| lot.is_held_out(ratio)).count();
        assert_eq!(count(0.0), 0);
        assert!((850..1150).contains(&count(0.05)), "{}", count(0.05));
        assert!(lots.iter().filter(|lot| lot.is_held_out(0.05)).all(|lot| lot.is_held_out(0.1)));
    }
}
