//! Ranks as threads of one process, joined by channels.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use super::{CollectiveError, Hypercube, Link};

/// Messages a link holds: one, so that both ends of an exchange may send before either receives.
const LINK_MESSAGES: usize = 1;

/// One rank of a group of threads.
pub type Local = Hypercube<ChannelLink>;

/// One end of a pair of channels.
#[derive(Debug)]
pub struct ChannelLink {
    peer: usize,
    sender: SyncSender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
    /// Eight-byte words that hold what was received, so that any element is aligned in it.
    aligned: Vec<u64>,
}

/// The collectives of `world_size` threads, in the order of their ranks.
///
/// Errors: `world_size` is no power of two.
pub fn local_ranks(world_size: usize) -> Result<Vec<Local>, CollectiveError> {
    let bits = world_size.checked_ilog2().unwrap_or(0) as usize;
    let mut links: Vec<Vec<ChannelLink>> = (0..world_size).map(|_| Vec::new()).collect();
    for bit in 0..bits {
        for lower in (0..world_size).filter(|rank| rank >> bit & 1 == 0) {
            let upper = (lower | 1 << bit).min(world_size - 1);
            let (to_upper, from_lower) = sync_channel(LINK_MESSAGES);
            let (to_lower, from_upper) = sync_channel(LINK_MESSAGES);
            links[lower].push(ChannelLink::new(upper, to_upper, from_upper));
            links[upper].push(ChannelLink::new(lower, to_lower, from_lower));
        }
    }
    links.into_iter().enumerate().map(|(rank, links)| Hypercube::new(rank, world_size, links)).collect()
}

impl ChannelLink {
    fn new(peer: usize, sender: SyncSender<Vec<u8>>, receiver: Receiver<Vec<u8>>) -> Self {
        Self { peer, sender, receiver, aligned: Vec::new() }
    }

    fn lost(&self) -> CollectiveError {
        CollectiveError::PeerLost { peer: self.peer, source: io::ErrorKind::BrokenPipe.into() }
    }
}

impl Link for ChannelLink {
    fn exchange(
        &mut self,
        outgoing: &[u8],
        expected: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CollectiveError> {
        self.sender.send(outgoing.to_vec()).map_err(|_| self.lost())?;
        let message = self.receiver.recv().map_err(|_| self.lost())?;
        if message.len() != expected {
            let (expected, found) = (expected as u64, message.len() as u64);
            return Err(CollectiveError::OutOfStep { peer: self.peer, expected, found });
        }
        self.aligned.resize(expected.div_ceil(size_of::<u64>()), 0);
        let piece = &mut bytemuck::cast_slice_mut(&mut self.aligned)[..expected];
        piece.copy_from_slice(&message);
        take(piece);
        Ok(())
    }
}
