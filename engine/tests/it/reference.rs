//! The decoder's formulas in f64, one document and one token at a time, with none of the engine's code but the names and
//! ranges of the weights. Gradients come from central differences. Says also how far f32 arithmetic may stray from them.

use bedplate_engine::{Batch, IGNORED_TARGET, ModelConfig, ParamLayout};
use rayon::prelude::*;

/// A model in f64.
pub struct Reference<'a> {
    pub config: &'a ModelConfig,
    pub layout: &'a ParamLayout,
}

type Rows = Vec<Vec<f64>>;

/// A gradient at some weights.
pub struct Gradient {
    pub values: Vec<f64>,
    /// For each value the sum of the magnitudes of what it is a sum of: one term for each target of the batch.
    pub magnitudes: Vec<f64>,
}

impl Reference<'_> {
    /// Sum of the negative log-likelihoods of a batch: its documents alone, one after another.
    pub fn loss(&self, weights: &[f64], batch: &Batch) -> f64 {
        self.losses(weights, batch).iter().sum()
    }

    /// The negative log-likelihood of each target.
    fn losses(&self, weights: &[f64], batch: &Batch) -> Vec<f64> {
        let length = batch.tokens.len() / batch.segment_lengths.len();
        let mut losses = Vec::new();
        for (sequence, lengths) in batch.segment_lengths.iter().enumerate() {
            let mut start = sequence * length;
            for document in lengths.iter().map(|length| *length as usize) {
                let rows = start..start + document;
                losses.extend(self.document_losses(weights, &batch.tokens[rows.clone()], &batch.targets[rows]));
                start += document;
            }
        }
        losses
    }

    /// Gradient of [`Reference::loss`] at the weights `places`, by central differences.
    pub fn gradient(&self, weights: &[f64], batch: &Batch, places: &[usize]) -> Gradient {
        const STEP: f64 = 1e-5;
        let difference = |point: &mut Vec<f64>, place: &usize| {
            let start = point[*place];
            point[*place] = start + STEP;
            let above = self.losses(point, batch);
            point[*place] = start - STEP;
            let below = self.losses(point, batch);
            point[*place] = start;
            let terms = above.iter().zip(below).map(|(above, below)| (above - below) / (2.0 * STEP));
            terms.fold((0.0, 0.0), |(value, magnitude), term: f64| (value + term, magnitude + term.abs()))
        };
        let (values, magnitudes) = places.par_iter().map_init(|| weights.to_vec(), difference).unzip();
        Gradient { values, magnitudes }
    }

    /// Additions that one term of a gradient goes through in f32: those of the forward pass, about as many backward, and
    /// the sum over the rows of the batch. Every sum of the model counts with its length.
    pub fn additions(&self, batch: &Batch) -> usize {
        let ModelConfig { hidden_size: hidden, intermediate_size: ffn, head_dim, .. } = *self.config;
        let length = batch.tokens.len() / batch.segment_lengths.len();
        let attention = head_dim + 2 * length + self.config.num_attention_heads * head_dim;
        let block = 2 * (hidden + hidden) + attention + ffn;
        let head = hidden + hidden + self.config.vocab_size;
        2 * (self.config.num_hidden_layers * block + head) + batch.tokens.len()
    }

    fn document_losses(&self, weights: &[f64], tokens: &[u32], targets: &[u32]) -> Vec<f64> {
        let table = self.tensor(weights, "model.embed_tokens.weight");
        let hidden = self.config.hidden_size;
        let mut stream: Rows =
            tokens.iter().map(|token| table[*token as usize * hidden..][..hidden].to_vec()).collect();
        for layer in 0..self.config.num_hidden_layers {
            self.attention(weights, layer, &mut stream);
            self.feed_forward(weights, layer, &mut stream);
        }
        let head = if self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        let rows = stream.iter().zip(targets).filter(|(_, target)| **target != IGNORED_TARGET);
        rows.map(|(row, target)| {
            let normed = self.norm(self.tensor(weights, "model.norm.weight"), row);
            let logits = multiply(self.tensor(weights, head), &normed);
            logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[*target as usize]
        })
        .collect()
    }

    fn attention(&self, weights: &[f64], layer: usize, stream: &mut Rows) {
        let ModelConfig { num_attention_heads: heads, num_key_value_heads: kv_heads, head_dim, .. } = *self.config;
        let tensor = |part: &str| self.tensor(weights, &format!("model.layers.{layer}.{part}.weight"));
        let normed: Rows = stream.iter().map(|row| self.norm(tensor("input_layernorm"), row)).collect();
        let project = |name: &str| -> Rows { normed.iter().map(|row| multiply(tensor(name), row)).collect() };
        let (mut queries, mut keys, values) =
            (project("self_attn.q_proj"), project("self_attn.k_proj"), project("self_attn.v_proj"));
        for rows in [&mut queries, &mut keys] {
            rows.iter_mut().enumerate().for_each(|(position, row)| self.rotate(row, position));
        }
        for (position, row) in stream.iter_mut().enumerate() {
            let mut attended = Vec::new();
            for head in 0..heads {
                let own = head * head_dim..(head + 1) * head_dim;
                let group = head / (heads / kv_heads);
                let shared = group * head_dim..(group + 1) * head_dim;
                let score = |key: &Vec<f64>| {
                    (dot(&queries[position][own.clone()], &key[shared.clone()]) / (head_dim as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = keys[..=position].iter().map(score).collect();
                let sum: f64 = scores.iter().sum();
                let weighted = |i: usize| scores.iter().zip(&values).map(|(s, value)| s / sum * value[i]).sum::<f64>();
                attended.extend(shared.clone().map(weighted));
            }
            add(row, &multiply(tensor("self_attn.o_proj"), &attended));
        }
    }

    fn feed_forward(&self, weights: &[f64], layer: usize, stream: &mut Rows) {
        let tensor = |part: &str| self.tensor(weights, &format!("model.layers.{layer}.{part}.weight"));
        for row in stream {
            let normed = self.norm(tensor("post_attention_layernorm"), row);
            let (gate, up) = (multiply(tensor("mlp.gate_proj"), &normed), multiply(tensor("mlp.up_proj"), &normed));
            let activated: Vec<f64> =
                gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            add(row, &multiply(tensor("mlp.down_proj"), &activated));
        }
    }

    fn norm(&self, weight: &[f64], row: &[f64]) -> Vec<f64> {
        let root = (dot(row, row) / row.len() as f64 + self.config.rms_norm_eps).sqrt();
        row.iter().zip(weight).map(|(value, weight)| value / root * weight).collect()
    }

    /// Hugging Face's convention: element i of a head turns with element i + head_dim / 2.
    fn rotate(&self, row: &mut [f64], position: usize) {
        let half = self.config.head_dim / 2;
        for head in row.chunks_mut(self.config.head_dim) {
            for i in 0..half {
                let angle = position as f64 / self.config.rope_theta.powf(i as f64 / half as f64);
                let (low, high) = (head[i], head[i + half]);
                head[i] = low * angle.cos() - high * angle.sin();
                head[i + half] = high * angle.cos() + low * angle.sin();
            }
        }
    }

    fn tensor<'w>(&self, weights: &'w [f64], name: &str) -> &'w [f64] {
        &weights[self.layout.find(name).expect("the model has this tensor").range.clone()]
    }
}

/// `matrix x vector`; the matrix is row-major.
fn multiply(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.chunks(vector.len()).map(|row| dot(row, vector)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
