//! What goes into a step and what comes out.
//!
//! Owns the checks of a batch. Knows nothing of where it came from.

use crate::{
    config::{ConfigError, ModelConfig},
    cpu::cross_entropy::IGNORED_TARGET,
};

/// The largest batch a decoder computes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Sequences.
    pub micro_batch_size: usize,
    /// Tokens of each sequence.
    pub sequence_length: usize,
}

impl BatchShape {
    /// Tokens of a full batch.
    pub fn rows(&self) -> usize {
        self.micro_batch_size.saturating_mul(self.sequence_length)
    }

    /// Refuses what `config`'s model cannot compute.
    pub(crate) fn validate(&self, config: &ModelConfig) -> Result<(), ConfigError> {
        let refuse =
            |field, problem, remedy: &str| Err(ConfigError::Invalid { field, problem, remedy: remedy.to_owned() });
        if self.micro_batch_size == 0 {
            return refuse("micro_batch_size", "is 0".to_owned(), "write 1 or more");
        }
        if self.sequence_length == 0 {
            return refuse("sequence_length", "is 0".to_owned(), "write 1 or more");
        }
        if self.sequence_length > config.max_position_embeddings {
            let problem = format!(
                "is {}, above max_position_embeddings {}",
                self.sequence_length, config.max_position_embeddings
            );
            return refuse("sequence_length", problem, "shorten the sequences or raise max_position_embeddings");
        }
        Ok(())
    }
}

/// Token sequences, each made of documents that do not see one another. May hold fewer sequences than the decoder's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `[sequences, sequence_length]`, row-major.
    pub tokens: Vec<u32>,
    /// What each position should predict, [`IGNORED_TARGET`] for nothing; the shape of `tokens`.
    pub targets: Vec<u32>,
    /// For each sequence the lengths of its documents' pieces. What they leave of `sequence_length` is padding.
    pub segment_lengths: Vec<Vec<u32>>,
}

impl Batch {
    /// Asserts that the batch fits the decoder; one that does not is a mistake of the calling program.
    pub(crate) fn check(&self, shape: BatchShape, vocab_size: usize) {
        let sequences = self.segment_lengths.len();
        assert!(
            (1..=shape.micro_batch_size).contains(&sequences),
            "a batch holds 1 to {} sequences, not {sequences}",
            shape.micro_batch_size
        );
        let rows = sequences * shape.sequence_length;
        assert_eq!((self.tokens.len(), self.targets.len()), (rows, rows), "one token and one target a position");
        let known = |token: &u32| (*token as usize) < vocab_size;
        assert!(self.tokens.iter().all(known), "every token is below vocab_size {vocab_size}");
        assert!(
            self.targets.iter().all(|target| *target == IGNORED_TARGET || known(target)),
            "every target is below vocab_size {vocab_size} or ignored"
        );
        for lengths in &self.segment_lengths {
            let total: usize = lengths.iter().map(|length| *length as usize).sum();
            assert!(total <= shape.sequence_length, "segments of {total} tokens exceed the sequence");
        }
    }

    /// Positions whose target counts.
    pub(crate) fn target_count(&self) -> u64 {
        self.targets.iter().filter(|target| **target != IGNORED_TARGET).count() as u64
    }

    /// Writes for each row where its document starts within its sequence, and its position in that document. Padding is
    /// one more document.
    pub(crate) fn locate(&self, sequence_length: usize, starts: &mut [u32], positions: &mut [u32]) {
        let sequences = starts.chunks_exact_mut(sequence_length).zip(positions.chunks_exact_mut(sequence_length));
        for ((starts, positions), lengths) in sequences.zip(&self.segment_lengths) {
            let mut start = 0;
            for end in lengths.iter().map(|length| *length as usize).chain([sequence_length]).scan(0, |end, length| {
                *end = (*end + length).min(sequence_length);
                Some(*end)
            }) {
                starts[start..end].fill(start as u32);
                positions[start..end].iter_mut().zip(0..).for_each(|(position, index)| *position = index);
                start = end;
            }
        }
    }
}

/// Loss of a batch: sums, so that batches add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Sum of the negative log-likelihoods of the targets, in nats.
    pub nll: f64,
    /// Targets that counted.
    pub tokens: u64,
}

impl std::ops::AddAssign for LossSum {
    fn add_assign(&mut self, other: Self) {
        self.nll += other.nll;
        self.tokens += other.tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_knows_its_document() {
        let batch = Batch { tokens: vec![0; 12], targets: vec![0; 12], segment_lengths: vec![vec![2, 3], vec![6]] };
        let (mut starts, mut positions) = (vec![9; 12], vec![9; 12]);
        batch.locate(6, &mut starts, &mut positions);
        assert_eq!(starts, [0, 0, 2, 2, 2, 5, 0, 0, 0, 0, 0, 0]);
        assert_eq!(positions, [0, 1, 0, 1, 2, 0, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_shape_the_model_cannot_hold_is_refused_by_name() {
        let refusal = |micro_batch_size, sequence_length| {
            let shape = BatchShape { micro_batch_size, sequence_length };
            shape.validate(&ModelConfig::default()).unwrap_err().to_string()
        };
        assert_eq!(refusal(0, 8), "micro_batch_size is 0; write 1 or more");
        assert_eq!(refusal(1, 0), "sequence_length is 0; write 1 or more");
        assert_eq!(
            refusal(1, 513),
            "sequence_length is 513, above max_position_embeddings 512; shorten the sequences or raise \
             max_position_embeddings"
        );
    }
}
