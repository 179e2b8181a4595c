//! The end of the model: final norm, output matrix and loss, chunk by chunk, so that logits are never whole.

use std::ops::Range;

use super::{
    block::{BlockShape, chunks, rows_of},
    buffers::Workspace,
};
use crate::{
    cpu::{
        cross_entropy, linear,
        rms_norm::{self, Norm},
    },
    layout::ParamLayout,
};

/// The head's weights inside the flat vector.
pub(super) struct Head<'a> {
    pub layout: &'a ParamLayout,
    pub weights: &'a [f32],
    pub shape: &'a BlockShape,
    pub chunk_rows: usize,
}

impl Head<'_> {
    fn vocab_size(&self) -> usize {
        self.layout.head.len() / self.shape.hidden
    }

    fn norm(&self) -> Norm<'_> {
        Norm { weight: &self.weights[self.layout.final_norm.clone()], eps: self.shape.eps }
    }

    /// Writes `work.nll` for the residual stream after the last block.
    pub(super) fn loss(&self, residual: &[f32], targets: &[u32], work: &mut Workspace) {
        for chunk in chunks(targets.len(), self.chunk_rows) {
            self.logits(residual, work, &chunk);
            let logits = &mut work.logits[..chunk.len() * self.vocab_size()];
            cross_entropy::forward(self.shape.isa, logits, &targets[chunk.clone()], &mut work.nll[chunk]);
        }
    }

    /// As [`Head::loss`]; also writes `work.d_residual` and adds to the weights' `gradients`.
    pub(super) fn loss_and_gradients(
        &self,
        residual: &[f32],
        targets: &[u32],
        work: &mut Workspace,
        gradients: &mut [f32],
    ) {
        let BlockShape { isa, hidden, .. } = *self.shape;
        for chunk in chunks(targets.len(), self.chunk_rows) {
            self.logits(residual, work, &chunk);
            let logits = &mut work.logits[..chunk.len() * self.vocab_size()];
            cross_entropy::forward_backward(isa, logits, &targets[chunk.clone()], &mut work.nll[chunk.clone()]);
            let normed = &work.normed[..chunk.len() * hidden];
            let d_normed = &mut work.d_normed[..chunk.len() * hidden];
            linear::weight_gradient(isa, logits, normed, &mut gradients[self.layout.head.clone()], hidden);
            linear::input_gradient(isa, logits, &self.weights[self.layout.head.clone()], d_normed, hidden);
            let d_input = &mut work.d_residual[rows_of(&chunk, hidden)];
            d_input.fill(0.0);
            let d_weight = &mut gradients[self.layout.final_norm.clone()];
            let sums = rms_norm::Sums { d_input, d_weight, partial: &mut work.norm_partial };
            rms_norm::backward(isa, &residual[rows_of(&chunk, hidden)], self.norm(), d_normed, sums);
        }
    }

    fn logits(&self, residual: &[f32], work: &mut Workspace, chunk: &Range<usize>) {
        let BlockShape { isa, hidden, .. } = *self.shape;
        let normed = &mut work.normed[..chunk.len() * hidden];
        rms_norm::forward(isa, &residual[rows_of(chunk, hidden)], self.norm(), normed);
        let logits = &mut work.logits[..chunk.len() * self.vocab_size()];
        linear::forward(isa, normed, &self.weights[self.layout.head.clone()], logits, hidden);
    }
}
