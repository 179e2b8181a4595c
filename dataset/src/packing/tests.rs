//! Nothing is lost, nothing is cut without need, and little room is left over.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

fn pack(documents: &[Vec<u32>], sequence_length: usize, window_tokens: usize) -> Vec<Sequence> {
    let mut packer = Packer { window_tokens, ..Packer::new(sequence_length) };
    let mut sequences = Vec::new();
    let mut emit = |sequence: &Sequence| -> Result<(), Infallible> {
        sequences.push(sequence.clone());
        Ok(())
    };
    for document in documents {
        packer.push(document, &mut emit).unwrap();
    }
    packer.finish(&mut emit).unwrap();
    sequences
}

/// Every document is a run of numbers that occur nowhere else.
fn numbered(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut next = 0;
    let mut take = |length: usize| {
        next += length as u32;
        (next - length as u32..next).collect()
    };
    lengths.iter().map(|&length| take(length)).collect()
}

proptest! {
    #[test]
    fn every_token_comes_once_in_whole_pieces(
        lengths in prop::collection::vec(1_usize..40, 0..60),
        sequence_length in 2_usize..24,
        window_tokens in 1_usize..400,
    ) {
        let documents = numbered(&lengths);
        let sequences = pack(&documents, sequence_length, window_tokens);
        let mut pieces: Vec<Vec<u32>> = Vec::new();
        for sequence in &sequences {
            prop_assert!(sequence.tokens.len() <= sequence_length);
            let mut rest = &sequence.tokens[..];
            for &length in &sequence.segment_lengths {
                let (piece, after) = rest.split_at(length as usize);
                pieces.push(piece.to_vec());
                rest = after;
            }
            prop_assert!(rest.is_empty());
        }
        // A document is cut at multiples of the sequence length and nowhere else.
        pieces.sort();
        let wanted: Vec<Vec<u32>> =
            documents.iter().flat_map(|document| document.chunks(sequence_length)).map(<[u32]>::to_vec).collect();
        prop_assert_eq!(pieces, wanted);
    }

    #[test]
    fn two_bins_are_never_left_that_would_fit_one(lengths in prop::collection::vec(1_usize..20, 0..60)) {
        let sequences = pack(&numbered(&lengths), 20, usize::MAX);
        let open = sequences.iter().filter(|sequence| sequence.tokens.len() <= 10).count();
        prop_assert!(open <= 1, "{} sequences are at most half full", open);
    }
}

#[test]
fn documents_of_usual_lengths_leave_almost_no_room() {
    // Lengths spread over three magnitudes, as text is; a fixed generator (Knuth's MMIX) draws them.
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let lengths: Vec<usize> = (0..4000).map(|_| (10.0 * 1000_f64.powf(draw())) as usize).collect();
    let sequences = pack(&numbered(&lengths), 512, 1 << 20);
    let tokens: usize = lengths.iter().sum();
    let efficiency = tokens as f64 / (sequences.len() * 512) as f64;
    assert!(efficiency > 0.995, "{efficiency}");
}

#[test]
fn the_best_fit_is_taken() {
    let sequences = pack(&numbered(&[6, 5, 4, 3, 2]), 10, usize::MAX);
    let lengths: Vec<&[u32]> = sequences.iter().map(|sequence| &sequence.segment_lengths[..]).collect();
    assert_eq!(lengths, [&[6, 4][..], &[5, 3, 2]]);
}
