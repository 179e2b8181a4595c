//! AdamW and the global gradient norm.
//!
//! Owns the moments. Every element is updated alone and sums run in a fixed order, so the number of threads changes no bit.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    layout::ParamLayout,
    params::{Gradients, Weights},
};

/// Constants of AdamW (arXiv:1711.05101).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay of matrices; vectors are not decayed.
    pub weight_decay: f64,
}

/// AdamW with its moments, in the order of the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    config: AdamWConfig,
    layout: Arc<ParamLayout>,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    steps: u64,
}

/// Elements one task updates or sums: 64 KiB of each array stays inside a core's L2 cache, and the size is fixed so that
/// the order of sums does not depend on the pool.
const BLOCK: usize = 16_384;

impl AdamW {
    /// Zero moments.
    pub fn new(config: AdamWConfig, layout: Arc<ParamLayout>) -> Self {
        let (first_moment, second_moment) = (vec![0.0; layout.len()], vec![0.0; layout.len()]);
        Self { config, layout, first_moment, second_moment, steps: 0 }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments, flat.
    pub fn moments(&self) -> (&[f32], &[f32]) {
        (&self.first_moment, &self.second_moment)
    }

    /// First and second moments, to fill from a checkpoint that was written after `steps` steps.
    pub fn restore(&mut self, steps: u64) -> (&mut [f32], &mut [f32]) {
        self.steps = steps;
        (&mut self.first_moment, &mut self.second_moment)
    }

    /// Takes one step with `gradients * gradient_scale`. The scale carries both the division by the token count and the
    /// clipping, see [`clip_scale`].
    pub fn step(&mut self, weights: &mut Weights, gradients: &Gradients, learning_rate: f64, gradient_scale: f64) {
        self.steps += 1;
        let layout = self.layout.clone();
        for param in layout.params() {
            let decay = if param.is_vector() { 0.0 } else { self.config.weight_decay };
            let update = Update::new(&self.config, self.steps, learning_rate, decay, gradient_scale);
            let range = param.range.clone();
            weights.as_mut_slice()[range.clone()]
                .par_chunks_mut(BLOCK)
                .zip(gradients.as_slice()[range.clone()].par_chunks(BLOCK))
                .zip(self.first_moment[range.clone()].par_chunks_mut(BLOCK))
                .zip(self.second_moment[range].par_chunks_mut(BLOCK))
                .for_each(|(((weight, gradient), first), second)| update.apply(weight, gradient, first, second));
        }
    }
}

/// One step's constants, worked out once in f64.
struct Update {
    gradient_scale: f32,
    beta1: f32,
    beta2: f32,
    keep: f32,
    rate: f32,
    second_correction: f32,
    eps: f32,
}

impl Update {
    fn new(config: &AdamWConfig, step: u64, learning_rate: f64, decay: f64, gradient_scale: f64) -> Self {
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        Self {
            gradient_scale: gradient_scale as f32,
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            rate: (learning_rate / (1.0 - config.beta1.powi(exponent))) as f32,
            second_correction: (1.0 / (1.0 - config.beta2.powi(exponent)).sqrt()) as f32,
            eps: config.eps as f32,
        }
    }

    fn apply(&self, weights: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((weight, gradient), first), second) in weights.iter_mut().zip(gradients).zip(first).zip(second) {
            let gradient = gradient * self.gradient_scale;
            *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            let root = second.sqrt() * self.second_correction + self.eps;
            *weight = *weight * self.keep - self.rate * *first / root;
        }
    }
}

/// Euclidean norm of all gradients, summed in f64 over fixed blocks in their order.
pub fn global_norm(gradients: &Gradients) -> f64 {
    let blocks: Vec<f64> = gradients.as_slice().par_chunks(BLOCK).map(sum_of_squares).collect();
    blocks.iter().sum::<f64>().sqrt()
}

/// Eight independent f64 sums, so that the loop vectorises; their order is fixed.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let chunks = values.chunks_exact(8);
    let tail: f64 = chunks.remainder().iter().map(|value| f64::from(*value).powi(2)).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    lanes.iter().sum::<f64>() + tail
}

/// The factor that brings a gradient of norm `norm` down to `max_norm`, and 1 for one already below it.
pub fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    if norm > max_norm { max_norm / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    const CONFIG: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

    fn setting() -> (Weights, Gradients, AdamW) {
        let config = ModelConfig { num_hidden_layers: 1, vocab_size: 64, ..ModelConfig::default() };
        let layout = Arc::new(ParamLayout::new(&config));
        let weights = Weights::init(layout.clone(), &config, 3);
        let mut gradients = Gradients::zeros(layout.clone());
        for (index, value) in gradients.as_mut_slice().iter_mut().enumerate() {
            *value = ((index * 2_654_435_761) % 2003) as f32 / 1000.0 - 1.0;
        }
        (weights, gradients, AdamW::new(CONFIG, layout))
    }

    /// The published formula, element by element in f64.
    fn reference(start: f64, gradient: f64, decay: f64, steps: i32, rate: f64) -> f64 {
        let (mut weight, mut first, mut second) = (start, 0.0, 0.0);
        for step in 1..=steps {
            first = CONFIG.beta1 * first + (1.0 - CONFIG.beta1) * gradient;
            second = CONFIG.beta2 * second + (1.0 - CONFIG.beta2) * gradient * gradient;
            let (unbiased_first, unbiased_second) =
                (first / (1.0 - CONFIG.beta1.powi(step)), second / (1.0 - CONFIG.beta2.powi(step)));
            weight -= rate * decay * weight;
            weight -= rate * unbiased_first / (unbiased_second.sqrt() + CONFIG.eps);
        }
        weight
    }

    #[test]
    fn three_steps_follow_the_published_formula() {
        let (mut weights, gradients, mut optimizer) = setting();
        let start = weights.clone();
        for _ in 0..3 {
            optimizer.step(&mut weights, &gradients, 1e-2, 0.5);
        }
        for param in weights.layout().params() {
            let decay = if param.is_vector() { 0.0 } else { CONFIG.weight_decay };
            for index in param.range.clone().step_by(97) {
                let gradient = f64::from(gradients.as_slice()[index]) * 0.5;
                let want = reference(f64::from(start.as_slice()[index]), gradient, decay, 3, 1e-2);
                let have = f64::from(weights.as_slice()[index]);
                assert!((have - want).abs() < 1e-6, "{} [{index}]: {have} is not {want}", param.name);
            }
        }
    }

    #[test]
    fn the_norm_is_the_same_for_any_number_of_threads() {
        let (mut weights, gradients, mut optimizer) = setting();
        let want: f64 = gradients.as_slice().iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let norm_with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| global_norm(&gradients))
        };
        assert_eq!(norm_with(1), norm_with(2));
        assert_eq!(norm_with(1), norm_with(5));
        assert!((norm_with(1) / want - 1.0).abs() < 1e-12);
        optimizer.step(&mut weights, &gradients, 1e-2, clip_scale(want, 1.0));
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert_eq!(clip_scale(4.0, 1.0), 0.25);
    }
}
