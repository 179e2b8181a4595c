//! The collective over pairwise links: recursive halving and doubling (Thakur, Rabenseifner and Gropp 2005).
//!
//! Owns who exchanges what with whom. Rank r has one link for each bit b of its number, to rank r xor 2^b. A sum halves
//! the vector with each partner in turn (adding 0+1, then (0+1)+(2+3), ...), then the finished parts travel back the
//! same way: every rank sends and receives twice the vector's size at most, whatever the number of ranks.

use std::ops::{AddAssign, Range};

use bytemuck::Pod;

use super::{Collective, CollectiveError, add_assign};

/// A two-way connection to one peer.
pub trait Link: Send {
    /// Sends `outgoing` while it receives `expected` bytes, which `take` gets in order, in pieces that hold whole
    /// elements of up to eight bytes and are aligned to them.
    fn exchange(
        &mut self,
        outgoing: &[u8],
        expected: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CollectiveError>;
}

/// One rank's links, the one of bit b at index b.
#[derive(Debug)]
pub struct Hypercube<L> {
    rank: usize,
    links: Vec<L>,
}

impl<L: Link> Hypercube<L> {
    /// Joins `rank` to its neighbours: `links[b]` leads to rank `rank ^ (1 << b)`.
    pub fn new(rank: usize, world_size: usize, links: Vec<L>) -> Result<Self, CollectiveError> {
        if world_size != 1 << links.len() || rank >= world_size {
            return Err(CollectiveError::Links { links: links.len(), world_size });
        }
        Ok(Self { rank, links })
    }

    fn all_reduce<T: Pod + AddAssign + Send + Sync>(&mut self, values: &mut [T]) -> Result<(), CollectiveError> {
        let mut whole_ranges = Vec::with_capacity(self.links.len());
        let mut own = 0..values.len();
        for (bit, link) in self.links.iter_mut().enumerate() {
            let (keep, give) = halves(&own, self.rank >> bit & 1 == 0);
            let (kept, given) = pick(values, &keep, &give);
            let mut at = 0;
            link.exchange(bytemuck::cast_slice(given), size_of_val(kept), &mut |piece| {
                let piece: &[T] = bytemuck::cast_slice(piece);
                add_assign(&mut kept[at..at + piece.len()], piece);
                at += piece.len();
            })?;
            whole_ranges.push(std::mem::replace(&mut own, keep));
        }
        for (bit, link) in self.links.iter_mut().enumerate().rev() {
            let whole = whole_ranges[bit].clone();
            let (mine, theirs) = halves(&whole, self.rank >> bit & 1 == 0);
            let (received, sent) = pick(values, &theirs, &mine);
            let mut at = 0;
            link.exchange(bytemuck::cast_slice(sent), size_of_val(received), &mut |piece| {
                let piece: &[T] = bytemuck::cast_slice(piece);
                received[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            })?;
        }
        Ok(())
    }
}

/// A range's lower and upper half, or the other way round.
fn halves(range: &Range<usize>, lower_first: bool) -> (Range<usize>, Range<usize>) {
    let middle = range.start + range.len() / 2;
    let (lower, upper) = (range.start..middle, middle..range.end);
    if lower_first { (lower, upper) } else { (upper, lower) }
}

/// Two neighbouring ranges of `values`: the first to change, the second to read.
fn pick<'a, T>(values: &'a mut [T], change: &Range<usize>, read: &Range<usize>) -> (&'a mut [T], &'a [T]) {
    if change.end == read.start {
        let (lower, upper) = values.split_at_mut(read.start);
        (&mut lower[change.clone()], &upper[..read.len()])
    } else {
        let (lower, upper) = values.split_at_mut(change.start);
        (&mut upper[..change.len()], &lower[read.clone()])
    }
}

impl<L: Link> Collective for Hypercube<L> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        1 << self.links.len()
    }

    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        self.all_reduce(values)
    }

    fn all_reduce_sum_f64(&mut self, values: &mut [f64]) -> Result<(), CollectiveError> {
        self.all_reduce(values)
    }

    /// A binomial tree: rank 0 sends across the highest bit, then both across the next one, and so on.
    fn broadcast(&mut self, bytes: &mut [u8]) -> Result<(), CollectiveError> {
        for (bit, link) in self.links.iter_mut().enumerate().rev() {
            match self.rank % (2 << bit) {
                0 => link.exchange(bytes, 0, &mut |_| {})?,
                place if place == 1 << bit => {
                    let mut at = 0;
                    link.exchange(&[], bytes.len(), &mut |piece| {
                        bytes[at..at + piece.len()].copy_from_slice(piece);
                        at += piece.len();
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
