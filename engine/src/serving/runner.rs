//! The forward pass of one step: a mix of prompt chunks and single tokens through the whole model.
//!
//! Owns the buffers between the operations. Never decides what is in a step.

use std::sync::Arc;

use rayon::prelude::*;

use super::attention::{self, Row};
use super::kv_cache::KvCache;
use super::model::{Layer, ServingModel};
use super::row_ops::{Norm, Rotations, add_and_norm, swiglu};
use crate::isa::Isa;
use crate::quant::Activations;

/// Rows that one task rotates: a row takes a fraction of a microsecond.
const ROTATIONS_PER_TASK: usize = 32;

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The tokens to compute, at least one.
    pub tokens: &'a [u32],
    /// Position of `tokens[0]`; everything before is in the cache already.
    pub start: usize,
    /// Blocks of the sequence, in order; they hold at least `start + tokens.len()` positions.
    pub block_table: &'a [u32],
    /// Whether the logits after the last token are needed.
    pub wants_logits: bool,
}

/// Runs steps of one model; holds the buffers, which grow to the largest step.
#[derive(Debug)]
pub struct Runner {
    model: Arc<ServingModel>,
    isa: Isa,
    rotations: Rotations,
    /// The residual stream, `[rows, hidden_size]`.
    hidden: Vec<f32>,
    /// What the last block part adds to it.
    delta: Vec<f32>,
    normed: Activations,
    qkv: Vec<f32>,
    attended: Activations,
    gate_up: Vec<f32>,
    gated: Activations,
    scratch: Vec<f32>,
    logits: Vec<f32>,
}

impl Runner {
    /// A runner with empty buffers.
    pub fn new(model: Arc<ServingModel>) -> Self {
        let buffer = Vec::new;
        Self {
            model,
            isa: Isa::detect(),
            rotations: Rotations::default(),
            hidden: buffer(),
            delta: buffer(),
            normed: Activations::default(),
            qkv: buffer(),
            attended: Activations::default(),
            gate_up: buffer(),
            gated: Activations::default(),
            scratch: buffer(),
            logits: buffer(),
        }
    }

    /// Computes all chunks of a step, writes their keys and values, and returns the logits after the last token of each
    /// chunk that wants them, `[chunks with wants_logits, vocab_size]`, in order.
    ///
    /// # Panics
    /// If a token is outside the vocabulary, a block outside the cache, or a block table too short.
    pub fn forward(&mut self, cache: &mut KvCache, chunks: &[Chunk<'_>]) -> &[f32] {
        // Entering the pool once a step: from outside, every parallel operation would cost a hand-over and a wait.
        rayon::scope(|_| {
            let model = self.model.clone();
            let rows = rows_of(chunks, cache.geometry.block_size);
            self.begin(&model, chunks, rows.len());
            for (index, layer) in model.layers.iter().enumerate() {
                self.attention(&model, (index, layer), cache, &rows);
                self.feed_forward(&model, layer);
            }
            self.finish(&model, chunks);
        });
        &self.logits
    }

    /// Embeds the tokens and prepares the rotations.
    fn begin(&mut self, model: &ServingModel, chunks: &[Chunk<'_>], rows: usize) {
        let config = model.config();
        let positions = chunks.iter().flat_map(|chunk| chunk.start..chunk.start + chunk.tokens.len());
        self.rotations.prepare(positions, config.head_dim, config.rope_theta);
        self.hidden.resize(rows * config.hidden_size, 0.0);
        self.delta.resize(rows * config.hidden_size, 0.0);
        self.delta.fill(0.0);
        self.normed.resize(rows, config.hidden_size);
        self.qkv.resize(rows * (config.q_size() + 2 * config.kv_size()), 0.0);
        self.attended.resize(rows, config.q_size());
        self.gate_up.resize(rows * 2 * config.intermediate_size, 0.0);
        self.gated.resize(rows, config.intermediate_size);
        let tokens = chunks.iter().flat_map(|chunk| chunk.tokens);
        for (token, hidden) in tokens.zip(self.hidden.chunks_exact_mut(config.hidden_size)) {
            assert!((*token as usize) < config.vocab_size, "token {token} is outside the vocabulary");
            model.embed(*token, hidden);
        }
    }

    fn attention(
        &mut self,
        model: &ServingModel,
        (index, layer): (usize, &Layer),
        cache: &mut KvCache,
        rows: &[Row<'_>],
    ) {
        let config = model.config();
        let (q, kv) = (config.q_size(), config.kv_size());
        let norm = Norm { weight: &layer.input_norm, eps: config.rms_norm_eps as f32 };
        add_and_norm(self.isa, &mut self.hidden, &self.delta, &norm, self.normed.values_mut());
        layer.qkv.forward(&mut self.normed, &mut self.scratch, &mut self.qkv);
        let scale = 1.0 / (config.head_dim as f32).sqrt();
        let (isa, rotations) = (self.isa, &self.rotations);
        let rotated = self.qkv.par_chunks_mut(q + 2 * kv).enumerate().with_min_len(ROTATIONS_PER_TASK);
        rotated.for_each(|(row, qkv)| rotations.rotate(isa, row, &mut qkv[..q + kv], (q, scale)));
        for (row, qkv) in rows.iter().zip(self.qkv.chunks_exact(q + 2 * kv)) {
            cache.write(index, slot_of(row, cache.geometry.block_size), &qkv[q..q + kv], &qkv[q + kv..]);
        }
        attention::attend(self.isa, cache, index, rows, (&self.qkv, q + 2 * kv), self.attended.values_mut());
        layer.attention_output.forward(&mut self.attended, &mut self.scratch, &mut self.delta);
    }

    fn feed_forward(&mut self, model: &ServingModel, layer: &Layer) {
        let config = model.config();
        let norm = Norm { weight: &layer.post_norm, eps: config.rms_norm_eps as f32 };
        add_and_norm(self.isa, &mut self.hidden, &self.delta, &norm, self.normed.values_mut());
        layer.gate_up.forward(&mut self.normed, &mut self.scratch, &mut self.gate_up);
        swiglu(self.isa, &self.gate_up, config.intermediate_size, self.gated.values_mut());
        layer.down.forward(&mut self.gated, &mut self.scratch, &mut self.delta);
    }

    /// Gathers the wanted rows at the front, norms them and multiplies by the head.
    fn finish(&mut self, model: &ServingModel, chunks: &[Chunk<'_>]) {
        let config = model.config();
        let width = config.hidden_size;
        let (mut end, mut wanted) = (0, 0);
        for chunk in chunks {
            end += chunk.tokens.len();
            if chunk.wants_logits {
                let last = (end - 1) * width..end * width;
                self.hidden.copy_within(last.clone(), wanted * width);
                self.delta.copy_within(last, wanted * width);
                wanted += 1;
            }
        }
        self.logits.resize(wanted * config.vocab_size, 0.0);
        if wanted == 0 {
            return;
        }
        self.normed.resize(wanted, width);
        let norm = Norm { weight: &model.final_norm, eps: config.rms_norm_eps as f32 };
        let (hidden, delta) = (&mut self.hidden[..wanted * width], &self.delta[..wanted * width]);
        add_and_norm(self.isa, hidden, delta, &norm, self.normed.values_mut());
        model.head.forward(&mut self.normed, &mut self.scratch, &mut self.logits);
    }
}

/// One row a token.
fn rows_of<'a>(chunks: &[Chunk<'a>], block_size: usize) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(chunks.iter().map(|chunk| chunk.tokens.len()).sum());
    for chunk in chunks {
        let end = chunk.start + chunk.tokens.len();
        assert!(!chunk.tokens.is_empty() && end <= chunk.block_table.len() * block_size, "blocks hold the chunk");
        rows.extend((chunk.start..end).map(|position| Row { block_table: chunk.block_table, len: position + 1 }));
    }
    rows
}

fn slot_of(row: &Row<'_>, block_size: usize) -> (u32, usize) {
    let position = row.len - 1;
    (row.block_table[position / block_size], position % block_size)
}
