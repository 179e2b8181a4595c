//! Which Dataset each sample comes from, in fixed shares, without a counter.
//!
//! The k-th Dataset takes a fixed share of the samples that the ones before it leave. Of n samples a share s takes
//! `round(n * s)`, so that sample n is its own exactly if that number grows from n to n + 1, and the number itself is
//! how many it had before.

/// Bits after the point of a share.
const SHARE_BITS: u32 = 32;

/// An interleaving of Datasets by weight.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// For each Dataset but the last, its share of what the ones before it leave, in 2^-32.
    shares: Vec<u64>,
}

impl Mixture {
    /// The interleaving for weights above 0, relative to one another.
    pub fn new(weights: &[f64]) -> Self {
        let share = |place: usize| {
            let left: f64 = weights[place..].iter().sum();
            (weights[place] / left * (1_u64 << SHARE_BITS) as f64).round() as u64
        };
        Self { shares: (0..weights.len().saturating_sub(1)).map(share).collect() }
    }

    /// Place of the Dataset that `sample` comes from, and how many earlier samples came from it.
    pub fn at(&self, sample: u64) -> (usize, u64) {
        let mut left = sample;
        for (place, &share) in self.shares.iter().enumerate() {
            let taken = taken(left, share);
            if self::taken(left + 1, share) > taken {
                return (place, taken);
            }
            left -= taken;
        }
        (self.shares.len(), left)
    }
}

fn taken(samples: u64, share: u64) -> u64 {
    ((u128::from(samples) * u128::from(share) + (1 << (SHARE_BITS - 1))) >> SHARE_BITS) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_dataset_is_read_in_order_and_gets_its_share(weights in prop::collection::vec(0.01_f64..10.0, 1..6)) {
            let mixture = Mixture::new(&weights);
            let total: f64 = weights.iter().sum();
            let mut counts = vec![0_u64; weights.len()];
            for sample in 0..2000 {
                let (place, position) = mixture.at(sample);
                prop_assert_eq!(position, counts[place], "sample {}", sample);
                counts[place] += 1;
                let due = (sample + 1) as f64 * weights[place] / total;
                prop_assert!((counts[place] as f64 - due).abs() < 3.0, "{} of {due} at {sample}", counts[place]);
            }
        }
    }

    #[test]
    fn one_dataset_takes_every_sample() {
        let mixture = Mixture::new(&[0.3]);
        assert_eq!(mixture.at(0), (0, 0));
        assert_eq!(mixture.at(u64::MAX - 1), (0, u64::MAX - 1));
    }

    #[test]
    fn two_to_one_interleaves() {
        let mixture = Mixture::new(&[2.0, 1.0]);
        let places: Vec<usize> = (0..9).map(|sample| mixture.at(sample).0).collect();
        assert_eq!(places, [0, 1, 0, 0, 1, 0, 0, 1, 0]);
    }
}
