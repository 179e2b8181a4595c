//! The parameters of a model and their gradients, each one flat vector.
//!
//! Owns storage and the seeded start. Never does arithmetic on them.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{config::ModelConfig, layout::ParamLayout};

/// Parameters in the order of a [`ParamLayout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    layout: Arc<ParamLayout>,
    data: Vec<f32>,
}

/// Sums of gradients, in the same order as the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    layout: Arc<ParamLayout>,
    data: Vec<f32>,
}

macro_rules! flat_vector {
    ($name:ident) => {
        impl $name {
            /// All zeros.
            pub fn zeros(layout: Arc<ParamLayout>) -> Self {
                let data = vec![0.0; layout.len()];
                Self { layout, data }
            }

            /// Names, shapes and ranges of what is in it.
            pub fn layout(&self) -> &Arc<ParamLayout> {
                &self.layout
            }

            /// The flat vector.
            pub fn as_slice(&self) -> &[f32] {
                &self.data
            }

            /// The flat vector, to change.
            pub fn as_mut_slice(&mut self) -> &mut [f32] {
                &mut self.data
            }

            /// Elements of the named tensor, row by row.
            pub fn tensor(&self, name: &str) -> Option<&[f32]> {
                self.layout.find(name).map(|param| &self.data[param.range.clone()])
            }

            /// Elements of the named tensor, to change.
            pub fn tensor_mut(&mut self, name: &str) -> Option<&mut [f32]> {
                let range = self.layout.find(name)?.range.clone();
                Some(&mut self.data[range])
            }
        }
    };
}

flat_vector!(Weights);
flat_vector!(Gradients);

impl Gradients {
    /// Sets every sum back to zero.
    pub fn clear(&mut self) {
        self.data.par_chunks_mut(CLEAR_BLOCK).for_each(|block| block.fill(0.0));
    }
}

impl Weights {
    /// Matrices normal with `initializer_range`, norms one. The same seed gives the same bits; each tensor has its own
    /// stream, keyed by its name, so that a model with one more layer starts with the same first layers.
    pub fn init(layout: Arc<ParamLayout>, config: &ModelConfig, seed: u64) -> Self {
        let mut weights = Self::zeros(layout.clone());
        for param in layout.params() {
            let slot = &mut weights.data[param.range.clone()];
            if param.is_vector() {
                slot.fill(1.0);
            } else {
                fill_normal(slot, stream_key(seed, &param.name), config.initializer_range);
            }
        }
        weights
    }
}

/// Elements one task sets to zero: 64 KiB, so that a task outweighs its start.
const CLEAR_BLOCK: usize = 16_384;

/// First eight bytes of blake3 over seed and name.
fn stream_key(seed: u64, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    let digest = hasher.finalize();
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

/// Box and Muller's transform (1958) over the SplitMix64 sequence of `key`.
fn fill_normal(out: &mut [f32], key: u64, deviation: f64) {
    let mut state = key;
    for pair in out.chunks_mut(2) {
        let radius = (-2.0 * (1.0 - uniform(&mut state)).ln()).sqrt() * deviation;
        let (sin, cos) = (std::f64::consts::TAU * uniform(&mut state)).sin_cos();
        pair[0] = (radius * cos) as f32;
        if let Some(second) = pair.get_mut(1) {
            *second = (radius * sin) as f32;
        }
    }
}

/// The next of SplitMix64 (Steele, Lea, Flood 2014) as a number in [0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(seed: u64, layers: usize) -> Weights {
        let config = ModelConfig { num_hidden_layers: layers, vocab_size: 512, ..ModelConfig::default() };
        Weights::init(Arc::new(ParamLayout::new(&config)), &config, seed)
    }

    #[test]
    fn the_seed_decides_every_bit() {
        assert_eq!(start(1, 2), start(1, 2));
        assert_ne!(start(1, 2), start(2, 2));
        let name = "model.layers.1.mlp.up_proj.weight";
        assert_eq!(start(1, 2).tensor(name), start(1, 3).tensor(name));
    }

    #[test]
    fn matrices_are_normal_and_norms_are_one() {
        let weights = start(7, 1);
        assert!(weights.tensor("model.norm.weight").unwrap().iter().all(|w| *w == 1.0));
        let matrix = weights.tensor("model.embed_tokens.weight").unwrap();
        let count = matrix.len() as f64;
        let mean = matrix.iter().map(|w| f64::from(*w)).sum::<f64>() / count;
        let variance = matrix.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>() / count;
        let within = matrix.iter().filter(|w| w.abs() < 0.02).count() as f64 / count;
        assert!(mean.abs() < 2e-4, "mean {mean}");
        assert!((variance.sqrt() - 0.02).abs() < 2e-4, "deviation {}", variance.sqrt());
        assert!((within - 0.6827).abs() < 0.005, "share within one deviation {within}");
    }
}
