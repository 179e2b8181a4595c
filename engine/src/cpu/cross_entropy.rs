//! Negative log-likelihood of the targets under softmax, on a chunk of logits.
//!
//! The caller makes logits chunk by chunk, so that they are never whole; the gradient takes their place.

use rayon::prelude::*;

use super::simd::{LANES, exp, largest, sum_lanes, vectorised};
use crate::isa::Isa;

/// The target of a position that has none: its loss and gradient are zero.
pub const IGNORED_TARGET: u32 = u32::MAX;

/// Writes `nll[n] = log(sum(exp(logits[n]))) - logits[n][targets[n]]`, and 0 where the target is ignored. The logits are
/// overwritten with scratch values.
pub(crate) fn forward(isa: Isa, logits: &mut [f32], targets: &[u32], nll: &mut [f32]) {
    each_row(logits, targets, nll, |logits, target| {
        let chosen = logits[target];
        let (most, sum) = exponentiate(isa, logits);
        most + sum.ln() - chosen
    });
}

/// As [`forward`], and the logits become the gradient of the sum of `nll`: softmax minus one at the target, zero in rows
/// that are ignored.
pub(crate) fn forward_backward(isa: Isa, logits: &mut [f32], targets: &[u32], nll: &mut [f32]) {
    each_row(logits, targets, nll, |logits, target| {
        let chosen = logits[target];
        let (most, sum) = exponentiate(isa, logits);
        scale(isa, logits, 1.0 / sum);
        logits[target] -= 1.0;
        most + sum.ln() - chosen
    });
}

fn each_row(logits: &mut [f32], targets: &[u32], nll: &mut [f32], row: impl Fn(&mut [f32], usize) -> f32 + Sync) {
    let vocab_size = logits.len() / targets.len();
    assert_eq!((logits.len(), nll.len()), (targets.len() * vocab_size, targets.len()), "shapes agree");
    logits.par_chunks_exact_mut(vocab_size).zip(targets).zip(nll).for_each(|((logits, target), nll)| {
        *nll = match *target {
            IGNORED_TARGET => {
                logits.fill(0.0);
                0.0
            }
            target => row(logits, target as usize),
        };
    });
}

vectorised! {
    /// Replaces logits by `exp(logit - largest)`; gives the largest and the sum.
    fn exponentiate(logits: &mut [f32]) -> (f32, f32) {
        let most = largest(logits, f32::NEG_INFINITY);
        let mut lanes = [0.0; LANES];
        let mut chunks = logits.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (sum, value) in lanes.iter_mut().zip(chunk) {
                *value = exp::<FMA>(*value - most);
                *sum += *value;
            }
        }
        let mut tail = 0.0;
        for value in chunks.into_remainder() {
            *value = exp::<FMA>(*value - most);
            tail += *value;
        }
        (most, sum_lanes(lanes) + tail)
    }
}

vectorised! {
    fn scale(values: &mut [f32], factor: f32) {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}
