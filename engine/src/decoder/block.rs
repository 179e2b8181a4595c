//! One block: attention and feed-forward, each between a norm and the residual stream.
//!
//! Rows go through each group of layers in chunks, so that what passes between the layers stays in cache. What a norm
//! or SwiGLU gives is not kept: backward makes it again on the way.

use std::ops::Range;

use super::buffers::{BlockActivations, CHUNK_ROWS, Workspace};
use crate::{
    config::ModelConfig,
    cpu::{
        attention::{self, Inputs},
        linear,
        rms_norm::{self, Norm},
        rope::{self, Turn},
        swiglu,
    },
    isa::Isa,
    layout::BlockRanges,
};

/// Sizes and constants of every block, and the instructions it computes with.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockShape {
    pub isa: Isa,
    pub hidden: usize,
    pub ffn: usize,
    pub heads: attention::Shape,
    pub eps: f32,
}

/// One block's weights, or their gradients, inside the flat vector.
pub(super) struct Block<'a> {
    pub shape: &'a BlockShape,
    pub ranges: &'a BlockRanges,
    pub weights: &'a [f32],
}

impl BlockShape {
    pub(super) fn new(config: &ModelConfig, heads: attention::Shape, isa: Isa) -> Self {
        Self { isa, hidden: config.hidden_size, ffn: config.intermediate_size, heads, eps: config.rms_norm_eps as f32 }
    }

    fn q_size(&self) -> usize {
        self.heads.heads * self.heads.head_dim
    }

    /// Width of a row of queries, keys and values, and of its part that is rotated.
    fn rotated(&self) -> (usize, usize) {
        (self.heads.qkv_width(), (self.heads.heads + self.heads.kv_heads) * self.heads.head_dim)
    }
}

/// The chunks of `rows` rows.
pub(super) fn chunks(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(size).map(move |start| start..(start + size).min(rows))
}

/// `range` of rows of `width` elements.
pub(super) fn rows_of(range: &Range<usize>, width: usize) -> Range<usize> {
    range.start * width..range.end * width
}

impl Block<'_> {
    fn weight(&self, range: &Range<usize>) -> &[f32] {
        &self.weights[range.clone()]
    }

    fn norm(&self, range: &Range<usize>) -> Norm<'_> {
        Norm { weight: self.weight(range), eps: self.shape.eps }
    }

    /// From the residual stream in `kept.residual` to that after the block, in `next_residual`.
    pub(super) fn forward(
        &self,
        kept: &mut BlockActivations,
        work: &mut Workspace,
        next_residual: &mut [f32],
        rows: usize,
    ) {
        for chunk in chunks(rows, CHUNK_ROWS) {
            self.project_qkv(kept, work, &chunk);
        }
        let shape = &self.shape.heads;
        let inputs =
            Inputs { isa: self.shape.isa, qkv: &kept.qkv[..rows * shape.qkv_width()], starts: &work.starts[..rows] };
        let outputs = attention::Outputs {
            attention: &mut kept.attention[..rows * self.shape.q_size()],
            log_sum_exp: &mut kept.log_sum_exp[..rows * shape.heads],
        };
        attention::forward(inputs, outputs, &mut work.attention_scratch, shape);
        for chunk in chunks(rows, CHUNK_ROWS) {
            self.close_attention(kept, &chunk);
            self.feed_forward(kept, work, next_residual, &chunk);
        }
    }

    fn project_qkv(&self, kept: &mut BlockActivations, work: &mut Workspace, chunk: &Range<usize>) {
        let hidden = self.shape.hidden;
        let normed = &mut work.normed[..chunk.len() * hidden];
        let residual = &kept.residual[rows_of(chunk, hidden)];
        rms_norm::forward(self.shape.isa, residual, self.norm(&self.ranges.input_norm), normed);
        let qkv = &mut kept.qkv[rows_of(chunk, self.shape.heads.qkv_width())];
        linear::forward(self.shape.isa, normed, self.weight(&self.ranges.qkv), qkv, hidden);
        rope::apply(
            self.shape.isa,
            qkv,
            self.shape.rotated(),
            &work.positions[chunk.clone()],
            &work.angles,
            Turn::Forward,
        );
    }

    fn close_attention(&self, kept: &mut BlockActivations, chunk: &Range<usize>) {
        let rows = rows_of(chunk, self.shape.hidden);
        let (before, after) = (&kept.residual[rows.clone()], &mut kept.mid_residual[rows]);
        let attention = &kept.attention[rows_of(chunk, self.shape.q_size())];
        linear::forward_onto(
            self.shape.isa,
            before,
            attention,
            self.weight(&self.ranges.o),
            after,
            self.shape.q_size(),
        );
    }

    fn feed_forward(
        &self,
        kept: &mut BlockActivations,
        work: &mut Workspace,
        next_residual: &mut [f32],
        chunk: &Range<usize>,
    ) {
        let (hidden, ffn) = (self.shape.hidden, self.shape.ffn);
        let residual = &kept.mid_residual[rows_of(chunk, hidden)];
        let normed = &mut work.normed[..chunk.len() * hidden];
        rms_norm::forward(self.shape.isa, residual, self.norm(&self.ranges.post_norm), normed);
        let gate_up = &mut kept.gate_up[rows_of(chunk, 2 * ffn)];
        linear::forward(self.shape.isa, normed, self.weight(&self.ranges.gate_up), gate_up, hidden);
        let activated = &mut work.activated[..chunk.len() * ffn];
        swiglu::forward(self.shape.isa, gate_up, activated, ffn);
        let next = &mut next_residual[rows_of(chunk, hidden)];
        linear::forward_onto(self.shape.isa, residual, activated, self.weight(&self.ranges.down), next, ffn);
    }

    /// Turns `work.d_residual`, the gradient after the block, into that before it, and adds to the weights' `gradients`.
    pub(super) fn backward(&self, kept: &BlockActivations, work: &mut Workspace, gradients: &mut [f32], rows: usize) {
        for chunk in chunks(rows, CHUNK_ROWS) {
            self.feed_forward_backward(kept, work, gradients, &chunk);
            self.close_attention_backward(kept, work, gradients, &chunk);
        }
        let shape = &self.shape.heads;
        let inputs =
            Inputs { isa: self.shape.isa, qkv: &kept.qkv[..rows * shape.qkv_width()], starts: &work.starts[..rows] };
        let attention = attention::Gradients {
            attention: &kept.attention[..rows * self.shape.q_size()],
            log_sum_exp: &kept.log_sum_exp[..rows * shape.heads],
            d_attention: &work.d_attention[..rows * self.shape.q_size()],
            d_qkv: &mut work.d_qkv[..rows * shape.qkv_width()],
        };
        attention::backward(inputs, attention, &mut work.attention_scratch, shape);
        for chunk in chunks(rows, CHUNK_ROWS) {
            self.project_qkv_backward(kept, work, gradients, &chunk);
        }
    }

    fn feed_forward_backward(
        &self,
        kept: &BlockActivations,
        work: &mut Workspace,
        gradients: &mut [f32],
        chunk: &Range<usize>,
    ) {
        let (hidden, ffn, ranges) = (self.shape.hidden, self.shape.ffn, self.ranges);
        let d_output = &mut work.d_residual[rows_of(chunk, hidden)];
        let activated = &mut work.activated[..chunk.len() * ffn];
        let d_gate_up = &mut work.d_gate_up[..chunk.len() * 2 * ffn];
        linear::input_gradient(self.shape.isa, d_output, self.weight(&ranges.down), activated, ffn);
        swiglu::backward_and_output(self.shape.isa, &kept.gate_up[rows_of(chunk, 2 * ffn)], activated, d_gate_up, ffn);
        linear::weight_gradient(self.shape.isa, d_output, activated, &mut gradients[ranges.down.clone()], ffn);
        let layer = NormedLinear {
            norm: &ranges.post_norm,
            linear: &ranges.gate_up,
            input: &kept.mid_residual[rows_of(chunk, hidden)],
        };
        let scratch = NormScratch {
            normed: &mut work.normed,
            d_normed: &mut work.d_normed,
            partial: &mut work.norm_partial,
            d_input: d_output,
        };
        self.normed_linear_backward(layer, d_gate_up, scratch, gradients);
    }

    fn close_attention_backward(
        &self,
        kept: &BlockActivations,
        work: &mut Workspace,
        gradients: &mut [f32],
        chunk: &Range<usize>,
    ) {
        let q_size = self.shape.q_size();
        let d_output = &work.d_residual[rows_of(chunk, self.shape.hidden)];
        let attention = &kept.attention[rows_of(chunk, q_size)];
        let d_attention = &mut work.d_attention[rows_of(chunk, q_size)];
        linear::input_gradient(self.shape.isa, d_output, self.weight(&self.ranges.o), d_attention, q_size);
        linear::weight_gradient(self.shape.isa, d_output, attention, &mut gradients[self.ranges.o.clone()], q_size);
    }

    fn project_qkv_backward(
        &self,
        kept: &BlockActivations,
        work: &mut Workspace,
        gradients: &mut [f32],
        chunk: &Range<usize>,
    ) {
        let d_qkv = &mut work.d_qkv[rows_of(chunk, self.shape.heads.qkv_width())];
        rope::apply(
            self.shape.isa,
            d_qkv,
            self.shape.rotated(),
            &work.positions[chunk.clone()],
            &work.angles,
            Turn::Backward,
        );
        let layer = NormedLinear {
            norm: &self.ranges.input_norm,
            linear: &self.ranges.qkv,
            input: &kept.residual[rows_of(chunk, self.shape.hidden)],
        };
        let scratch = NormScratch {
            normed: &mut work.normed,
            d_normed: &mut work.d_normed,
            partial: &mut work.norm_partial,
            d_input: &mut work.d_residual[rows_of(chunk, self.shape.hidden)],
        };
        self.normed_linear_backward(layer, d_qkv, scratch, gradients);
    }

    /// Backward of `linear(rms_norm(input))` for `d_output`: adds to the gradients of both weights and of the input.
    fn normed_linear_backward(
        &self,
        layer: NormedLinear<'_>,
        d_output: &[f32],
        scratch: NormScratch<'_>,
        gradients: &mut [f32],
    ) {
        let (hidden, norm) = (self.shape.hidden, self.norm(layer.norm));
        let normed = &mut scratch.normed[..layer.input.len()];
        let d_normed = &mut scratch.d_normed[..layer.input.len()];
        rms_norm::forward(self.shape.isa, layer.input, norm, normed);
        linear::weight_gradient(self.shape.isa, d_output, normed, &mut gradients[layer.linear.clone()], hidden);
        linear::input_gradient(self.shape.isa, d_output, self.weight(layer.linear), d_normed, hidden);
        let d_weight = &mut gradients[layer.norm.clone()];
        let sums = rms_norm::Sums { d_input: scratch.d_input, d_weight, partial: scratch.partial };
        rms_norm::backward(self.shape.isa, layer.input, norm, d_normed, sums);
    }
}

/// A norm and the linear layer after it, with the rows that go in.
struct NormedLinear<'a> {
    norm: &'a Range<usize>,
    linear: &'a Range<usize>,
    input: &'a [f32],
}

struct NormScratch<'a> {
    normed: &'a mut [f32],
    d_normed: &'a mut [f32],
    partial: &'a mut [f32],
    /// The gradient of the residual stream, which the norm's is added to.
    d_input: &'a mut [f32],
}
