//! A permutation of 0..n that is computed, not stored.
//!
//! A balanced Feistel network (Luby and Rackoff 1988) permutes the next power of four; results outside the range are
//! sent through it again until one lies inside (cycle walking, Black and Rogaway 2002), which keeps it a bijection.

/// Rounds: four make a strong pseudo-random permutation of good round functions; two more make up for a plain mixer.
const ROUNDS: u64 = 6;

/// A bijection of `0..len`, chosen by a key.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// The permutation of `0..len` that belongs to `key`; `len` is at least 1 and below 2^62.
    pub fn new(len: u64, key: u64) -> Self {
        assert!((1..1 << 62).contains(&len), "a permutation of {len} elements");
        let bits = u64::BITS - (len - 1).leading_zeros();
        Self { len, half_bits: bits.div_ceil(2).max(1), key }
    }

    /// Where `index`, below the length, goes.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.len, "index {index} of a permutation of {}", self.len);
        let mut place = self.rounds(index);
        // The domain has at most four times the length, so a walk of more than a few steps is rare.
        while place >= self.len {
            place = self.rounds(place);
        }
        place
    }

    fn rounds(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(right ^ mix(self.key.wrapping_add(round))) & mask));
        }
        left << self.half_bits | right
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(len: u64, key: u64) -> Vec<u64> {
        let permutation = Permutation::new(len, key);
        (0..len).map(|index| permutation.at(index)).collect()
    }

    proptest! {
        #[test]
        fn every_element_appears_once(len in 1_u64..3000, key: u64) {
            let mut seen = order(len, key);
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sizes_around_powers_of_two_are_bijections_too() {
        for len in [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 65_535, 65_536, 65_537] {
            let mut seen = order(len, 7);
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..len), "{len}");
        }
    }

    #[test]
    fn the_key_decides_the_order() {
        assert_eq!(order(1000, 1), order(1000, 1));
        assert_ne!(order(1000, 1), order(1000, 2));
        let fixed = order(1000, 1).iter().enumerate().filter(|(index, place)| *index as u64 == **place).count();
        assert!(fixed < 8, "{fixed} elements stay where they are; a random permutation leaves one");
    }

    /// Mean distance of neighbours in a random permutation of 0..n is n / 3.
    #[test]
    fn neighbours_are_torn_apart() {
        let places = order(10_000, 3);
        let distance: u64 = places.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        let mean = distance as f64 / 9_999.0;
        assert!((3_200.0..3_470.0).contains(&mean), "{mean}");
    }
}
