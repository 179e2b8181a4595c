//! Turns sequences into what the decoder takes: tokens, next-token targets and segment lengths.
//!
//! Owns which position predicts what. Never chooses the sequences.

use bedplate_engine::{Batch, BatchShape, IGNORED_TARGET};

use super::Sequences;

/// Why a sequence cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A token that the model has no embedding for.
    #[error(
        "sequence {index} of a shard holds token {token}, but the vocabulary has {vocab_size} entries; delete the Dataset's output and run it again"
    )]
    Token {
        /// Number of the sequence.
        index: u64,
        /// The token.
        token: u32,
        /// Entries of the model's vocabulary.
        vocab_size: usize,
    },
    /// Segments that do not lie in the sequence.
    #[error(
        "sequence {index} of a shard has segments of {covered} tokens, more than its length; delete the Dataset's output and run it again"
    )]
    Segments {
        /// Number of the sequence.
        index: u64,
        /// Sum of the segments' lengths.
        covered: u64,
    },
}

/// One sequence of a Dataset.
#[derive(Clone, Copy, Debug)]
pub struct SequenceRef<'a> {
    /// The split it is in.
    pub sequences: &'a Sequences,
    /// Its number there.
    pub index: u64,
}

/// A batch that is filled again and again.
#[derive(Debug)]
pub struct BatchFiller {
    sequence_length: usize,
    vocab_size: usize,
    batch: Batch,
    row: Vec<u32>,
}

impl BatchFiller {
    /// Room for batches up to `shape`, for a model of `vocab_size` entries.
    pub fn new(shape: BatchShape, vocab_size: usize) -> Self {
        let room = || Vec::with_capacity(shape.micro_batch_size * shape.sequence_length);
        let batch = Batch { tokens: room(), targets: room(), segment_lengths: Vec::new() };
        Self { sequence_length: shape.sequence_length, vocab_size, batch, row: Vec::new() }
    }

    /// The batch of these sequences, in this order.
    pub fn fill<'s>(
        &mut self,
        sequences: impl ExactSizeIterator<Item = SequenceRef<'s>>,
    ) -> Result<&Batch, BatchError> {
        self.batch.tokens.clear();
        self.batch.targets.clear();
        self.batch.segment_lengths.resize(sequences.len(), Vec::new());
        for (place, SequenceRef { sequences, index }) in sequences.enumerate() {
            let lengths = &mut self.batch.segment_lengths[place];
            sequences.read(index, &mut self.row, lengths);
            if let Some(&token) = self.row.iter().find(|token| **token as usize >= self.vocab_size) {
                return Err(BatchError::Token { index, token, vocab_size: self.vocab_size });
            }
            let covered = lengths.iter().map(|length| u64::from(*length)).sum();
            if covered > self.sequence_length as u64 {
                return Err(BatchError::Segments { index, covered });
            }
            self.batch.tokens.extend_from_slice(&self.row);
            push_targets(&self.row, lengths, &mut self.batch.targets);
        }
        Ok(&self.batch)
    }
}

/// Each token's target is the one after it in its segment. A segment's last token and the padding have none: what
/// follows a cut piece of a document is not in the sequence.
fn push_targets(tokens: &[u32], segment_lengths: &[u32], targets: &mut Vec<u32>) {
    let start = targets.len();
    targets.extend_from_slice(&tokens[1..]);
    targets.push(IGNORED_TARGET);
    let mut end = 0;
    for length in segment_lengths {
        end += *length as usize;
        if end > 0 {
            targets[start + end - 1] = IGNORED_TARGET;
        }
    }
    targets[start + end..].fill(IGNORED_TARGET);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u32 = IGNORED_TARGET;

    fn targets(tokens: &[u32], segment_lengths: &[u32]) -> Vec<u32> {
        let mut targets = vec![77];
        push_targets(tokens, segment_lengths, &mut targets);
        targets.remove(0);
        targets
    }

    #[test]
    fn every_token_predicts_the_next_one_of_its_segment() {
        assert_eq!(targets(&[1, 2, 3, 4, 5], &[5]), [2, 3, 4, 5, NONE]);
        assert_eq!(targets(&[1, 2, 3, 4, 5], &[2, 3]), [2, NONE, 4, 5, NONE]);
        assert_eq!(targets(&[1, 2, 3, 4, 5], &[1, 1, 3]), [NONE, NONE, 4, 5, NONE]);
    }

    #[test]
    fn padding_neither_predicts_nor_is_predicted() {
        assert_eq!(targets(&[1, 2, 3, 0, 0], &[3]), [2, 3, NONE, NONE, NONE]);
        assert_eq!(targets(&[1, 2, 3, 0, 0], &[1, 2]), [NONE, 3, NONE, NONE, NONE]);
        assert_eq!(targets(&[0, 0, 0], &[]), [NONE, NONE, NONE]);
    }
}
