//! Small models, batches and comparisons that the tests share.

use std::sync::Arc;

use bedplate_engine::{
    Batch, BatchShape, Decoder, Gradients, IGNORED_TARGET, Isa, LossSum, ModelConfig, ParamLayout, Weights,
};

/// A model whose sizes are powers of nothing, so that every loop has a tail.
pub fn odd_config(tie_word_embeddings: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 20,
        intermediate_size: 28,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        vocab_size: 37,
        rope_theta: 50.0,
        tie_word_embeddings,
        ..ModelConfig::default()
    }
}

/// Weights large enough that no part of the model is near linear.
pub fn weights(config: &ModelConfig, seed: u64) -> Weights {
    let layout = Arc::new(ParamLayout::new(config));
    let mut weights = Weights::init(layout.clone(), &ModelConfig { initializer_range: 0.4, ..config.clone() }, seed);
    let mut numbers = Numbers(seed);
    for param in layout.params().iter().filter(|param| param.is_vector()) {
        for weight in &mut weights.as_mut_slice()[param.range.clone()] {
            *weight = 0.5 + numbers.below(1000) as f32 / 1000.0;
        }
    }
    weights
}

/// SplitMix64's sequence.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Random tokens in documents of the given lengths; the last position of each has no target, nor has padding.
pub fn batch(config: &ModelConfig, sequence_length: usize, documents: &[&[u32]], seed: u64) -> Batch {
    let mut numbers = Numbers(seed);
    let rows = documents.len() * sequence_length;
    let tokens: Vec<u32> = (0..rows).map(|_| numbers.below(config.vocab_size as u64) as u32).collect();
    let mut targets = vec![IGNORED_TARGET; rows];
    for (sequence, lengths) in documents.iter().enumerate() {
        let mut start = sequence * sequence_length;
        for length in lengths.iter().map(|length| *length as usize) {
            let predicting = start..start + length - 1;
            targets[predicting].copy_from_slice(&tokens[start + 1..start + length]);
            start += length;
        }
    }
    let segment_lengths = documents.iter().map(|lengths| lengths.to_vec()).collect();
    Batch { tokens, targets, segment_lengths }
}

/// A decoder that just holds `batch`.
pub fn decoder_for(config: &ModelConfig, batch: &Batch) -> Decoder {
    let micro_batch_size = batch.segment_lengths.len();
    let shape = BatchShape { micro_batch_size, sequence_length: batch.tokens.len() / micro_batch_size };
    Decoder::new(config, shape).expect("the config and the shape are valid")
}

/// Loss and gradients of one batch with the processor's best instructions.
pub fn run(config: &ModelConfig, weights: &Weights, batch: &Batch) -> (LossSum, Gradients) {
    run_on(Isa::detect(), config, weights, batch)
}

/// Loss and gradients of one batch.
pub fn run_on(isa: Isa, config: &ModelConfig, weights: &Weights, batch: &Batch) -> (LossSum, Gradients) {
    let mut gradients = Gradients::zeros(weights.layout().clone());
    let loss = decoder_for(config, batch).with_isa(isa).loss_and_gradients(weights, batch, &mut gradients);
    (loss, gradients)
}

/// Asserts that two sets of gradients differ in no tensor by more than `tolerance` of its largest element.
pub fn assert_gradients_close(have: &Gradients, want: &Gradients, tolerance: f64) {
    for param in have.layout().params() {
        let (have, want) = (&have.as_slice()[param.range.clone()], &want.as_slice()[param.range.clone()]);
        let wide: Vec<f64> = want.iter().map(|value| f64::from(*value)).collect();
        let error = relative_error(have, &wide, largest(want));
        assert!(error <= tolerance, "{}: relative error {error:.1e}", param.name);
    }
}

/// Largest magnitude.
pub fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(f64::from(value.abs())))
}

/// Largest difference over `scale`, the largest magnitude of the whole tensor.
pub fn relative_error(have: &[f32], want: &[f64], scale: f64) -> f64 {
    let differences = have.iter().zip(want).map(|(have, want)| (f64::from(*have) - want).abs());
    // A NaN must not pass for a small error.
    differences.fold(0.0, |most: f64, value| if value <= most { most } else { value }) / scale.max(1e-30)
}
