//! What is said during the handshake: a length of four bytes, then JSON.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::recipe::Recipe;

/// Tells this handshake from whatever else might connect, and from other versions of itself.
pub const PROTOCOL: &str = "bedplate-trainer/2";
/// Longest message of a rank: the recipe of a large mixture is some kilobytes.
pub const MAX_MESSAGE_BYTES: u32 = 1 << 20;
/// Bytes of the length before a message.
const LENGTH_BYTES: usize = 4;

/// A rank to rank 0.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hello {
    /// `namespace/name` of the job.
    pub job: String,
    /// Fields that all ranks share.
    pub agreement: Recipe,
    /// The rank.
    pub rank: usize,
    /// Ranks it knows of.
    pub world_size: usize,
    /// Port where it listens for its neighbours.
    pub port: u16,
}

/// Rank 0's answer, once everybody is there.
#[derive(Debug, Deserialize, Serialize)]
pub enum Answer {
    /// All is well.
    Welcome {
        /// Number of this gathering, which neighbours repeat to each other.
        session: u64,
        /// Where each rank listens.
        addresses: Vec<SocketAddr>,
    },
    /// The rank does not belong here.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A rank to a neighbour of lower rank.
#[derive(Debug, Deserialize, Serialize)]
pub struct Neighbour {
    /// The gathering.
    pub session: u64,
    /// Who connects.
    pub rank: usize,
}

/// Sends one message.
pub fn send(mut stream: &TcpStream, message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), json.as_slice()].concat())
}

/// Receives one message from a connection that waits.
pub fn receive<T: DeserializeOwned>(stream: &TcpStream) -> io::Result<T> {
    match Frame::default().receive(stream, MAX_MESSAGE_BYTES)? {
        Some(json) => Ok(serde_json::from_slice(&json)?),
        None => Err(io::Error::new(ErrorKind::TimedOut, "it said nothing")),
    }
}

/// The part of a message that has arrived. Takes no byte of the next one.
#[derive(Debug, Default)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// One whole message; nothing where a connection that does not wait has no more of it yet.
    ///
    /// # Errors
    /// When the connection ends, or the message is longer than `limit` bytes.
    pub fn receive(&mut self, mut stream: &TcpStream, limit: u32) -> io::Result<Option<Vec<u8>>> {
        loop {
            let have = self.0.len();
            let want = match self.0.first_chunk::<LENGTH_BYTES>() {
                None => LENGTH_BYTES,
                Some(length) => {
                    let length = u32::from_be_bytes(*length);
                    if length > limit {
                        return Err(io::Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
                    }
                    LENGTH_BYTES + length as usize
                }
            };
            if have == want && want > LENGTH_BYTES {
                return Ok(Some(std::mem::take(&mut self.0).split_off(LENGTH_BYTES)));
            }
            self.0.resize(want, 0);
            let read = stream.read(&mut self.0[have..]);
            self.0.truncate(have + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
