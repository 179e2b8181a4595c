//! Causal attention within documents, with grouped queries, in tiles (FlashAttention-2, arXiv:2307.08691).
//!
//! Scores exist for one [`TILE`] x [`TILE`] square at a time. Forward keeps the logarithm of each row's sum of
//! exponentials; backward makes the probabilities again from it. One task owns one sequence and one key/value head with
//! the query heads that share it, and goes through its tiles in order, so no sum depends on the number of threads.

mod backward;
mod forward;
mod tiles;

pub(crate) use backward::{Gradients, backward};
pub(crate) use forward::{Outputs, forward};

use crate::isa::Isa;

/// Queries and keys of one square of scores: four squares of f32 fill half a core's first cache.
pub(crate) const TILE: usize = 64;

/// Sizes of the heads. A row of `qkv` holds the query heads, then the key heads, then the value heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub sequence_length: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

/// What both directions read.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub isa: Isa,
    /// Queries and keys (rotated) and values, `[rows, (heads + 2 * kv_heads) * head_dim]`.
    pub qkv: &'a [f32],
    /// Within its sequence, where each row's document begins; `[rows]`.
    pub starts: &'a [u32],
}

impl Shape {
    /// Width of a row of `qkv`.
    pub(crate) fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Elements of scratch that one task needs.
    pub(crate) fn scratch_len(&self) -> usize {
        forward::scratch_len(self).max(backward::scratch_len(self))
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Positions of a sequence, filled up to whole tiles.
    fn padded_length(&self) -> usize {
        self.sequence_length.next_multiple_of(TILE)
    }

    /// Scores are divided by the root of the head's width; queries carry the factor.
    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}
