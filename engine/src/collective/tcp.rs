//! Ranks as processes, joined by TCP connections.
//!
//! Owns the framing: each exchange is a length of eight bytes, then as many bytes, both ways at once. Numbers travel as
//! they lie in memory, so every rank runs on a machine of the same byte order.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use super::{CollectiveError, Hypercube, Link};

/// Longest silence of a peer before it counts as lost. A peer that dies closes its connection and is noticed at once;
/// this bounds the rest (a machine without power, a hung process), and is longer than any evaluation or checkpoint of
/// a model that CPUs can train.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(600);

/// Eight-byte words received before they are handed on: 1 MiB, which keeps the system calls few and the buffer in cache.
const PIECE_WORDS: usize = 1 << 17;

/// Up to here an exchange sends first and receives afterwards: less than any system's socket buffer, so that both ends
/// can do so without waiting for each other.
const INLINE_BYTES: usize = 8 << 10;

/// One rank of a group of processes.
pub type Tcp = Hypercube<TcpLink>;

/// A connection to one peer.
#[derive(Debug)]
pub struct TcpLink {
    peer: usize,
    stream: TcpStream,
    piece: Vec<u64>,
}

impl TcpLink {
    /// Takes over a connection on which nothing but exchanges will be sent from now on.
    pub fn new(peer: usize, stream: TcpStream) -> Result<Self, CollectiveError> {
        let lost = |source| CollectiveError::PeerLost { peer, source };
        stream.set_nodelay(true).map_err(lost)?;
        stream.set_read_timeout(Some(PEER_TIMEOUT)).map_err(lost)?;
        stream.set_write_timeout(Some(PEER_TIMEOUT)).map_err(lost)?;
        Ok(Self { peer, stream, piece: vec![0; PIECE_WORDS] })
    }
}

impl Link for TcpLink {
    fn exchange(
        &mut self,
        outgoing: &[u8],
        expected: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CollectiveError> {
        let Self { peer, stream, piece } = self;
        let lost = |source| CollectiveError::PeerLost { peer: *peer, source };
        if outgoing.len() <= INLINE_BYTES {
            send(stream, outgoing).map_err(lost)?;
            return receive(*peer, stream, piece, expected, take);
        }
        thread::scope(|scope| {
            let sender = scope.spawn(|| send(stream, outgoing));
            let received = receive(*peer, stream, piece, expected, take);
            if received.is_err() {
                // Wakes a sender that a dead peer no longer reads from; the error at hand is the one to report.
                let _ = stream.shutdown(Shutdown::Both);
            }
            let sent = sender.join().expect("sending does not panic").map_err(lost);
            received.and(sent)
        })
    }
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&(bytes.len() as u64).to_le_bytes())?;
    stream.write_all(bytes)
}

fn receive(
    peer: usize,
    mut stream: &TcpStream,
    piece: &mut [u64],
    expected: usize,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), CollectiveError> {
    let lost = |source| CollectiveError::PeerLost { peer, source };
    let mut length = [0; size_of::<u64>()];
    stream.read_exact(&mut length).map_err(lost)?;
    let found = u64::from_le_bytes(length);
    if found != expected as u64 {
        return Err(CollectiveError::OutOfStep { peer, expected: expected as u64, found });
    }
    let buffer: &mut [u8] = bytemuck::cast_slice_mut(piece);
    let mut left = expected;
    while left > 0 {
        let size = left.min(buffer.len());
        stream.read_exact(&mut buffer[..size]).map_err(lost)?;
        take(&buffer[..size]);
        left -= size;
    }
    Ok(())
}
