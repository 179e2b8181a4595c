//! Packs documents into sequences of equal length: best-fit decreasing within a bounded window.
//!
//! Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830): a document is only cut where it
//! is longer than a sequence, and the rest of the room is filled by whichever piece fits best. Pure: tokens in,
//! sequences out.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

/// Tokens that wait to be packed together: 16 MiB, some thousand sequences, enough that the room left over in them is
/// a fraction of a percent.
const WINDOW_TOKENS: usize = 4 << 20;
/// Fewest sequences' worth of tokens in a window, where sequences are very long.
const WINDOW_SEQUENCES: usize = 16;
/// Most pieces in a window, where documents are tiny: bounds the table of pieces to the size of their tokens.
const WINDOW_PIECES: usize = 1 << 20;

/// Takes documents, gives sequences.
#[derive(Debug)]
pub struct Packer {
    sequence_length: usize,
    window_tokens: usize,
    tokens: Vec<u32>,
    pieces: Vec<Range<usize>>,
}

/// One packed sequence: whole pieces one behind the other. At most `sequence_length` tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The tokens, without padding.
    pub tokens: Vec<u32>,
    /// Lengths of the pieces, whose sum is the number of tokens.
    pub segment_lengths: Vec<u32>,
}

impl Packer {
    /// Packs into sequences of `sequence_length` tokens.
    pub fn new(sequence_length: usize) -> Self {
        let window_tokens = WINDOW_TOKENS.max(WINDOW_SEQUENCES * sequence_length);
        Self { sequence_length, window_tokens, tokens: Vec::new(), pieces: Vec::new() }
    }

    /// Adds a document. Sequences that are certain are handed to `emit`: first the ones a long document fills alone.
    pub fn push<E>(&mut self, document: &[u32], emit: &mut impl FnMut(&Sequence) -> Result<(), E>) -> Result<(), E> {
        let (full, rest) = document.split_at(document.len() - document.len() % self.sequence_length);
        for tokens in full.chunks_exact(self.sequence_length) {
            let segment_lengths = vec![self.sequence_length as u32];
            emit(&Sequence { tokens: tokens.to_vec(), segment_lengths })?;
        }
        if !rest.is_empty() {
            let begin = self.tokens.len();
            self.tokens.extend_from_slice(rest);
            self.pieces.push(begin..self.tokens.len());
        }
        if self.tokens.len() >= self.window_tokens || self.pieces.len() >= WINDOW_PIECES {
            self.finish(emit)?;
        }
        Ok(())
    }

    /// Packs what still waits.
    pub fn finish<E>(&mut self, emit: &mut impl FnMut(&Sequence) -> Result<(), E>) -> Result<(), E> {
        let mut sequence = Sequence::default();
        for bin in best_fit_decreasing(&self.pieces, self.sequence_length) {
            sequence.tokens.clear();
            sequence.segment_lengths.clear();
            for piece in bin {
                sequence.segment_lengths.push(piece.len() as u32);
                sequence.tokens.extend_from_slice(&self.tokens[piece]);
            }
            emit(&sequence)?;
        }
        self.tokens.clear();
        self.pieces.clear();
        Ok(())
    }
}

/// Puts each piece, longest first, where it leaves the least room; opens a new bin where it fits nowhere. Ties go to
/// the piece that came first and the bin that was filled last, so that the result depends on nothing but the lengths.
fn best_fit_decreasing(pieces: &[Range<usize>], capacity: usize) -> Vec<Vec<Range<usize>>> {
    let mut order: Vec<&Range<usize>> = pieces.iter().collect();
    order.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    let mut bins: Vec<Vec<Range<usize>>> = Vec::new();
    let mut bins_by_room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for piece in order {
        let best = bins_by_room.range(piece.len()..).next().map(|(&room, _)| room);
        let (bin, room) = match best.and_then(|room| Some((bins_by_room.get_mut(&room)?.pop()?, room))) {
            Some((bin, room)) => {
                if bins_by_room.get(&room).is_some_and(Vec::is_empty) {
                    bins_by_room.remove(&room);
                }
                (bin, room)
            }
            None => {
                bins.push(Vec::new());
                (bins.len() - 1, capacity)
            }
        };
        bins[bin].push(piece.clone());
        let left = room - piece.len();
        if left > 0 {
            bins_by_room.entry(left).or_default().push(bin);
        }
    }
    bins
}
