//! Logits against a slow decoder in f64, written from the published formulas with loops and nothing else.

use std::sync::Arc;

use super::fixtures::{even_config, logits_one_by_one, tokens, uneven_config, weights_of};
use crate::config::ModelConfig;
use crate::serving::{KvFormat, ServingModel};

/// Gives a tensor by Hugging Face's name, row-major.
pub(super) type Tensors<'a> = &'a dyn Fn(&str) -> Vec<f32>;

/// Logits of every position, `[tokens, vocab_size]`.
pub(super) fn logits(config: &ModelConfig, tensors: Tensors<'_>, tokens: &[u32]) -> Vec<Vec<f64>> {
    let embedding = tensors("model.embed_tokens.weight");
    let mut x: Vec<Vec<f64>> =
        tokens.iter().map(|token| row(&embedding, *token as usize, config.hidden_size)).collect();
    for layer in 0..config.num_hidden_layers {
        let tensor = |part: &str| tensors(&format!("model.layers.{layer}.{part}.weight"));
        let normed: Vec<_> = x.iter().map(|x| rms_norm(x, &tensor("input_layernorm"), config.rms_norm_eps)).collect();
        let project = |part: &str| normed.iter().map(|x| product(&tensor(part), x)).collect::<Vec<_>>();
        let (mut q, mut k, v) = (project("self_attn.q_proj"), project("self_attn.k_proj"), project("self_attn.v_proj"));
        for (position, heads) in q.iter_mut().enumerate().chain(k.iter_mut().enumerate()) {
            heads.chunks_mut(config.head_dim).for_each(|head| rotate(head, position, config.rope_theta));
        }
        for (position, x) in x.iter_mut().enumerate() {
            let attended = attend(config, &q[position], &k[..=position], &v[..=position]);
            add(x, &product(&tensor("self_attn.o_proj"), &attended));
            let normed = rms_norm(x, &tensor("post_attention_layernorm"), config.rms_norm_eps);
            let (gate, up) = (product(&tensor("mlp.gate_proj"), &normed), product(&tensor("mlp.up_proj"), &normed));
            let gated: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            add(x, &product(&tensor("mlp.down_proj"), &gated));
        }
    }
    let head = if config.tie_word_embeddings { embedding } else { tensors("lm_head.weight") };
    let norm = tensors("model.norm.weight");
    x.iter().map(|x| product(&head, &rms_norm(x, &norm, config.rms_norm_eps))).collect()
}

fn row(matrix: &[f32], index: usize, width: usize) -> Vec<f64> {
    matrix[index * width..][..width].iter().map(|value| f64::from(*value)).collect()
}

fn product(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
}

fn add(x: &mut [f64], delta: &[f64]) {
    x.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta);
}

fn rms_norm(x: &[f64], weight: &[f32], eps: f64) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, weight)| x / (mean + eps).sqrt() * f64::from(*weight)).collect()
}

fn rotate(head: &mut [f64], position: usize, theta: f64) {
    let half = head.len() / 2;
    for pair in 0..half {
        let angle = position as f64 / theta.powf(2.0 * pair as f64 / head.len() as f64);
        let (a, b) = (head[pair], head[pair + half]);
        head[pair] = a * angle.cos() - b * angle.sin();
        head[pair + half] = b * angle.cos() + a * angle.sin();
    }
}

fn attend(config: &ModelConfig, q: &[f64], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<f64> {
    let width = config.head_dim;
    let heads = q.chunks(width).enumerate().flat_map(|(head, q)| {
        let shared = head / config.heads_per_group() * width;
        let score = |k: &Vec<f64>| k[shared..].iter().zip(q).map(|(k, q)| k * q).sum::<f64>() / (width as f64).sqrt();
        let scores: Vec<f64> = k.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mix = move |d: usize| weights.iter().zip(v).map(|(w, v)| w / total * v[shared + d]).sum::<f64>();
        (0..width).map(mix).collect::<Vec<_>>()
    });
    heads.collect()
}

/// Largest difference over the largest magnitude.
pub(super) fn relative_error(found: &[Vec<f32>], expected: &[Vec<f64>]) -> f64 {
    let largest = expected.iter().flatten().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.map(|(found, expected)| (f64::from(*found) - expected).abs()).fold(0.0, f64::max) / largest
}

fn error_of(config: &ModelConfig, format: KvFormat) -> f64 {
    let weights = weights_of(config, 5);
    let model = Arc::new(ServingModel::from_weights(config, &weights));
    let tokens = tokens(70, config.vocab_size);
    let found = logits_one_by_one(&model, &tokens, format);
    relative_error(&found, &logits(config, &|name| weights.tensor(name).expect("exists").to_vec(), &tokens))
}

#[test]
fn logits_in_f32_equal_the_published_formulas() {
    let untied = ModelConfig { tie_word_embeddings: false, ..uneven_config() };
    for config in [uneven_config(), even_config(), untied] {
        let error = error_of(&config, KvFormat::F32);
        assert!(error < 1e-5, "relative error {error}");
    }
}

#[test]
fn a_half_precision_cache_costs_less_than_a_thousandth() {
    let error = error_of(&ModelConfig { initializer_range: 0.05, ..even_config() }, KvFormat::F16);
    assert!((1e-6..1e-3).contains(&error), "relative error {error}");
}
