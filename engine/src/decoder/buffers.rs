//! Every buffer of a training step: how large each is, and the one place that allocates them.
//!
//! The memory plan adds up the same [`Sizes`] that [`Buffers::allocate`] reads.

use super::batch::BatchShape;
use crate::{
    config::ModelConfig,
    cpu::{attention, rms_norm, rope},
};

/// Rows that go through a group of layers together. Chosen so that what passes between the layers stays in the last
/// cache, while each product is still large enough to run at full speed.
pub(super) const CHUNK_ROWS: usize = 1024;
/// Logits that exist at once: 8 MiB, about what a core has of its last cache.
const LOGITS: usize = 2 << 20;
/// Fewer rows would make the head's matrix travel through memory too often for large vocabularies.
const MIN_HEAD_ROWS: usize = 64;

/// Elements (of four bytes) of each buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub layers: usize,
    pub head_rows: usize,
    /// Kept from forward to backward, for each block.
    pub block: BlockSizes,
    /// The residual stream after the last block.
    pub residual: usize,
    /// Reused by every block.
    pub workspace: WorkspaceSizes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockSizes {
    pub residual: usize,
    pub qkv: usize,
    pub attention: usize,
    pub log_sum_exp: usize,
    pub mid_residual: usize,
    pub gate_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkspaceSizes {
    pub starts: usize,
    pub positions: usize,
    pub angles: usize,
    pub normed: usize,
    pub d_normed: usize,
    pub norm_partial: usize,
    pub activated: usize,
    pub d_gate_up: usize,
    pub d_residual: usize,
    pub d_attention: usize,
    pub d_qkv: usize,
    pub attention_scratch: usize,
    pub logits: usize,
    pub nll: usize,
}

impl Sizes {
    /// Sizes for `shape`. Saturates for shapes that no memory holds, so that a plan can refuse them.
    pub(super) fn new(config: &ModelConfig, shape: BatchShape) -> Self {
        let rows = shape.rows();
        let times = |width: usize| rows.saturating_mul(width);
        let (hidden, ffn, vocab) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let chunk = rows.min(CHUNK_ROWS);
        let head_rows = (LOGITS / vocab).clamp(MIN_HEAD_ROWS, CHUNK_ROWS).min(rows);
        let heads = attention_shape(config, shape);
        let block = BlockSizes {
            residual: times(hidden),
            qkv: times(heads.qkv_width()),
            attention: times(config.q_size()),
            log_sum_exp: times(config.num_attention_heads),
            mid_residual: times(hidden),
            gate_up: times(2 * ffn),
        };
        let workspace = WorkspaceSizes {
            starts: rows,
            positions: rows,
            angles: rope::Angles::table_len(shape.sequence_length, config.head_dim),
            normed: chunk * hidden,
            d_normed: chunk * hidden,
            norm_partial: rms_norm::partial_len(chunk, hidden),
            activated: chunk * ffn,
            d_gate_up: chunk * 2 * ffn,
            d_residual: times(hidden),
            d_attention: times(config.q_size()),
            d_qkv: times(heads.qkv_width()),
            attention_scratch: (shape.micro_batch_size * heads.kv_heads).saturating_mul(heads.scratch_len()),
            logits: head_rows * vocab,
            nll: rows,
        };
        Self { layers: config.num_hidden_layers, head_rows, block, residual: times(hidden), workspace }
    }

    /// Bytes kept from forward to backward.
    pub(super) fn activation_bytes(&self) -> u64 {
        let BlockSizes { residual, qkv, attention, log_sum_exp, mid_residual, gate_up } = self.block;
        let block = bytes(&[residual, qkv, attention, log_sum_exp, mid_residual, gate_up]);
        block.saturating_mul(self.layers as u64).saturating_add(bytes(&[self.residual]))
    }

    /// Bytes that every block reuses.
    pub(super) fn workspace_bytes(&self) -> u64 {
        let WorkspaceSizes {
            starts,
            positions,
            angles,
            normed,
            d_normed,
            norm_partial,
            activated,
            d_gate_up,
            d_residual,
            d_attention,
            d_qkv,
            attention_scratch,
            logits,
            nll,
        } = self.workspace;
        let by_chunk = [normed, d_normed, norm_partial, activated, d_gate_up, logits, angles];
        let by_row = [starts, positions, d_residual, d_attention, d_qkv, attention_scratch, nll];
        bytes(&by_chunk).saturating_add(bytes(&by_row))
    }
}

/// Bytes of buffers with these many elements of four bytes.
fn bytes(elements: &[usize]) -> u64 {
    elements.iter().fold(0u64, |sum, len| sum.saturating_add((*len as u64).saturating_mul(4)))
}

/// The heads of `config` over `shape`'s sequences.
pub(super) fn attention_shape(config: &ModelConfig, shape: BatchShape) -> attention::Shape {
    attention::Shape {
        sequence_length: shape.sequence_length,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
    }
}

/// What one block keeps from forward to backward. The rest is made again: it costs less than reading it back.
#[derive(Debug)]
pub(super) struct BlockActivations {
    /// The residual stream on entry, `[rows, hidden_size]`.
    pub residual: Vec<f32>,
    /// Rotated queries and keys, and values, `[rows, q_size + 2 * kv_size]`.
    pub qkv: Vec<f32>,
    /// `[rows, q_size]`.
    pub attention: Vec<f32>,
    /// `[sequences, heads, sequence_length]`.
    pub log_sum_exp: Vec<f32>,
    /// The residual stream after attention, `[rows, hidden_size]`.
    pub mid_residual: Vec<f32>,
    /// `[rows, 2 * intermediate_size]`.
    pub gate_up: Vec<f32>,
}

/// What every block and the head reuse.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Where each row's document starts in its sequence.
    pub starts: Vec<u32>,
    /// Each row's position in its document.
    pub positions: Vec<u32>,
    pub angles: rope::Angles,
    /// `[chunk, hidden_size]`.
    pub normed: Vec<f32>,
    /// `[chunk, hidden_size]`.
    pub d_normed: Vec<f32>,
    pub norm_partial: Vec<f32>,
    /// Output of SwiGLU and, before it, its gradient; `[chunk, intermediate_size]`.
    pub activated: Vec<f32>,
    /// `[chunk, 2 * intermediate_size]`.
    pub d_gate_up: Vec<f32>,
    /// Gradient of the residual stream, `[rows, hidden_size]`.
    pub d_residual: Vec<f32>,
    /// `[rows, q_size]`.
    pub d_attention: Vec<f32>,
    /// `[rows, q_size + 2 * kv_size]`.
    pub d_qkv: Vec<f32>,
    pub attention_scratch: Vec<f32>,
    /// `[head_rows, vocab_size]`.
    pub logits: Vec<f32>,
    /// `[rows]`.
    pub nll: Vec<f32>,
}

#[derive(Debug)]
pub(super) struct Buffers {
    pub blocks: Vec<BlockActivations>,
    /// The residual stream after the last block, `[rows, hidden_size]`.
    pub residual: Vec<f32>,
    pub workspace: Workspace,
}

impl Buffers {
    pub(super) fn allocate(sizes: &Sizes, config: &ModelConfig, shape: BatchShape) -> Self {
        let zeros = |len: usize| vec![0.0f32; len];
        let block = |_| BlockActivations {
            residual: zeros(sizes.block.residual),
            qkv: zeros(sizes.block.qkv),
            attention: zeros(sizes.block.attention),
            log_sum_exp: zeros(sizes.block.log_sum_exp),
            mid_residual: zeros(sizes.block.mid_residual),
            gate_up: zeros(sizes.block.gate_up),
        };
        let work = &sizes.workspace;
        let workspace = Workspace {
            starts: vec![0; work.starts],
            positions: vec![0; work.positions],
            angles: rope::Angles::new(shape.sequence_length, config.head_dim, config.rope_theta),
            normed: zeros(work.normed),
            d_normed: zeros(work.d_normed),
            norm_partial: zeros(work.norm_partial),
            activated: zeros(work.activated),
            d_gate_up: zeros(work.d_gate_up),
            d_residual: zeros(work.d_residual),
            d_attention: zeros(work.d_attention),
            d_qkv: zeros(work.d_qkv),
            attention_scratch: zeros(work.attention_scratch),
            logits: zeros(work.logits),
            nll: zeros(work.nll),
        };
        Self { blocks: (0..sizes.layers).map(block).collect(), residual: zeros(sizes.residual), workspace }
    }

    /// Bytes that were really allocated, activations and workspace.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> (u64, u64) {
        let capacity = |buffers: &[&Vec<f32>]| buffers.iter().map(|buffer| 4 * buffer.capacity() as u64).sum::<u64>();
        let block = |block: &BlockActivations| {
            let BlockActivations { residual, qkv, attention, log_sum_exp, mid_residual, gate_up } = block;
            capacity(&[residual, qkv, attention, log_sum_exp, mid_residual, gate_up])
        };
        let Workspace { starts, positions, angles, normed, d_normed, norm_partial, activated, .. } = &self.workspace;
        let Workspace { d_gate_up, d_residual, d_attention, d_qkv, attention_scratch, logits, nll, .. } =
            &self.workspace;
        let floats = [normed, d_normed, norm_partial, activated, d_gate_up, d_residual, d_attention];
        let work = capacity(&floats)
            + capacity(&[d_qkv, attention_scratch, logits, nll])
            + 4 * (starts.capacity() + positions.capacity() + angles.capacity()) as u64;
        (self.blocks.iter().map(block).sum::<u64>() + capacity(&[&self.residual]), work)
    }
}
