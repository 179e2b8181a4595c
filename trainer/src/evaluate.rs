//! Measures the hold-out.
//!
//! Owns what is counted: the negative log-likelihood of every target token, and the bytes of text those tokens stand
//! for. A token that ends a document is paid for in nats and stands for no bytes; a piece's first token is predicted
//! by nothing and counts on neither side. Bits per byte compares models of any tokenizer, and compressors.

use bedplate_engine::{
    IGNORED_TARGET, Weights,
    collective::{Collective, CollectiveError},
};
use bedplate_tokenizer::Tokenizer;

use crate::{
    accumulate::Accumulator,
    data::{BatchError, SequenceRef},
};

/// Sums kept for each batch: nats, target tokens, bytes of their text.
const SUMS: usize = 3;

/// Why the hold-out could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A sequence cannot be computed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The ranks lost one another.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// What the hold-out came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoldoutLoss {
    /// Mean negative log-likelihood of a target token, in nats.
    pub loss: f64,
    /// Bits per byte of text.
    pub bits_per_byte: f64,
    /// Target tokens.
    pub tokens: u64,
}

/// Bytes of text that each token stands for.
pub fn byte_lengths(tokenizer: &Tokenizer, vocab_size: usize) -> Vec<u32> {
    (0..vocab_size as u32).map(|id| tokenizer.token_byte_len(id) as u32).collect()
}

/// The loss over `holdout`, which the ranks share batch by batch; the same bits for any number of them. None where
/// nothing is predicted.
pub fn evaluate(
    accumulator: &mut Accumulator,
    weights: &Weights,
    holdout: &[SequenceRef<'_>],
    byte_lengths: &[u32],
    collective: &mut dyn Collective,
) -> Result<Option<HoldoutLoss>, EvaluateError> {
    let (decoder, filler) = accumulator.forward_parts();
    let batches = holdout.chunks(decoder.shape().micro_batch_size);
    // Each batch has its own sums, zero on the ranks that do not compute it, so that their order is no rank's doing.
    let mut sums = vec![0.0; batches.len() * SUMS];
    for (number, (batch, sums)) in batches.zip(sums.chunks_exact_mut(SUMS)).enumerate() {
        if number % collective.world_size() == collective.rank() {
            let batch = filler.fill(batch.iter().copied())?;
            let loss = decoder.loss(weights, batch);
            let targets = batch.targets.iter().filter(|target| **target != IGNORED_TARGET);
            let bytes: u64 = targets.map(|target| u64::from(byte_lengths[*target as usize])).sum();
            sums.copy_from_slice(&[loss.nll, loss.tokens as f64, bytes as f64]);
        }
    }
    collective.all_reduce_sum_f64(&mut sums)?;
    let total = |place: usize| sums.iter().skip(place).step_by(SUMS).sum::<f64>();
    let (nats, tokens, bytes) = (total(0), total(1), total(2));
    Ok((tokens > 0.0 && bytes > 0.0).then(|| HoldoutLoss {
        loss: nats / tokens,
        bits_per_byte: nats / std::f64::consts::LN_2 / bytes,
        tokens: tokens as u64,
    }))
}
