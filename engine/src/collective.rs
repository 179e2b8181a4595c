//! Sums over ranks whose bits do not depend on how many ranks there are.
//!
//! Owns the order of the sums: a balanced binary tree over the ranks, so that it continues the tree each rank sums its
//! own part in. Never finds its peers: it is handed links that are already there.

mod hypercube;
mod local;
mod tcp;
#[cfg(test)]
mod tests;

use std::{io, ops::AddAssign};

use rayon::prelude::*;

pub use hypercube::{Hypercube, Link};
pub use local::{Local, local_ranks};
pub use tcp::{PEER_TIMEOUT, Tcp, TcpLink};

/// Elements one task adds: 64 KiB of each array stays inside a core's L2 cache.
const BLOCK: usize = 16_384;

/// Why a collective operation did not finish; the ranks no longer agree, so each of them has to stop.
#[derive(Debug, thiserror::Error)]
pub enum CollectiveError {
    /// A peer closed its connection, or was silent for [`PEER_TIMEOUT`].
    #[error("lost rank {peer}; see its own log for why it went away, then start all ranks again")]
    PeerLost {
        /// The rank at the other end of the link.
        peer: usize,
        /// What the link said.
        source: io::Error,
    },
    /// A peer is at another operation than this rank.
    #[error(
        "rank {peer} sent {found} bytes where {expected} were due; start all ranks from the same build and job file"
    )]
    OutOfStep {
        /// The rank at the other end of the link.
        peer: usize,
        /// Bytes this operation exchanges.
        expected: u64,
        /// Bytes the peer announced.
        found: u64,
    },
    /// As many links as this number of ranks needs were not handed in.
    #[error("{links} links cannot join {world_size} ranks; use 1, 2, 4 or 8 ranks")]
    Links {
        /// Links handed in.
        links: usize,
        /// Ranks there are.
        world_size: usize,
    },
}

/// The same operation on every rank, called by all of them in the same order.
pub trait Collective: Send {
    /// This process' number, from 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn world_size(&self) -> usize;

    /// Replaces `values` by their sums over all ranks: `((0 + 1) + (2 + 3)) + ...`, the same bits on every rank.
    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<(), CollectiveError>;

    /// The same for f64; whole numbers up to 2^53 are exact.
    fn all_reduce_sum_f64(&mut self, values: &mut [f64]) -> Result<(), CollectiveError>;

    /// Replaces `bytes` by those of rank 0.
    fn broadcast(&mut self, bytes: &mut [u8]) -> Result<(), CollectiveError>;

    /// Returns once every rank has called it.
    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.all_reduce_sum_f64(&mut [])
    }
}

/// The collective of one process alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn world_size(&self) -> usize {
        1
    }

    fn all_reduce_sum(&mut self, _values: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn all_reduce_sum_f64(&mut self, _values: &mut [f64]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn broadcast(&mut self, _bytes: &mut [u8]) -> Result<(), CollectiveError> {
        Ok(())
    }
}

/// Adds `term` to `sum`, element by element.
pub fn add_assign<T: AddAssign + Copy + Send + Sync>(sum: &mut [T], term: &[T]) {
    assert_eq!(sum.len(), term.len(), "both sides of a sum have one length");
    sum.par_chunks_mut(BLOCK).zip(term.par_chunks(BLOCK)).for_each(|(sum, term)| {
        for (sum, term) in sum.iter_mut().zip(term) {
            *sum += *term;
        }
    });
}
