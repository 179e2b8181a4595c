//! Where the random numbers of an answer begin.
//!
//! Owns what clients may write as a seed, and that the answers to one request have streams of their own. Draws nothing.

use serde::{Deserialize, Deserializer, de};

/// A seed as clients write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// A new one each time: what -1 means to vLLM and llama.cpp.
    Random,
    /// This one. Negative numbers stand for their two's complement.
    Fixed(u64),
}

impl Seed {
    /// The seed of one prompt; a random one is drawn anew with each call.
    pub fn draw(self) -> u64 {
        match self {
            Self::Random => uuid::Uuid::new_v4().as_u64_pair().0,
            Self::Fixed(seed) => seed,
        }
    }
}

impl From<i64> for Seed {
    fn from(seed: i64) -> Self {
        if seed == -1 { Self::Random } else { Self::Fixed(seed as u64) }
    }
}

impl From<u64> for Seed {
    fn from(seed: u64) -> Self {
        Self::Fixed(seed)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Seed;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a whole number between {} and {}", i64::MIN, u64::MAX)
    }

    fn visit_i64<E>(self, seed: i64) -> Result<Seed, E> {
        Ok(seed.into())
    }

    fn visit_u64<E>(self, seed: u64) -> Result<Seed, E> {
        Ok(seed.into())
    }
}

/// The seed of the answer number `choice` to a prompt with `seed`. The first answer is that of a request for one; the
/// others lie so far off that they meet no answer of a neighbouring seed.
pub fn of_choice(seed: u64, choice: u64) -> u64 {
    if choice == 0 { seed } else { mix(mix(seed) ^ choice) }
}

/// The finaliser of SplitMix64 (Steele et al. 2014).
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_whole_number_of_64_bits_is_a_seed() {
        let read = |json: &str| serde_json::from_str::<Option<Seed>>(json);
        assert_eq!(read("-1").unwrap(), Some(Seed::Random));
        assert_eq!(read("null").unwrap(), None);
        for (json, seed) in [
            ("0", 0),
            ("-2", u64::MAX - 1),
            ("-9223372036854775808", 1 << 63),
            ("9223372036854775808", 1 << 63),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(read(json).unwrap(), Some(Seed::Fixed(seed)), "{json}");
        }
        for json in ["18446744073709551616", "1.5", "\"7\"", "true"] {
            assert!(read(json).unwrap_err().to_string().contains("a whole number between"), "{json}");
        }
    }

    #[test]
    fn answers_of_neighbouring_seeds_do_not_meet() {
        let seeds = (0..64).chain(u64::MAX - 64..u64::MAX);
        let all: BTreeSet<u64> =
            seeds.clone().flat_map(|seed| (0..128).map(move |choice| of_choice(seed, choice))).collect();
        assert_eq!(all.len(), seeds.count() * 128);
        assert_eq!(of_choice(7, 0), 7);
    }
}
