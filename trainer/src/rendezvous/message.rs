//! What is said during the handshake: a length of four bytes, then JSON.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::recipe::Recipe;

/// Tells this handshake from whatever else might connect, and from other versions of itself.
pub const PROTOCOL: &str = "bedplate-trainer/1";
/// Longest message: the recipe of a large mixture is some kilobytes.
const MAX_MESSAGE_BYTES: u32 = 1 << 20;

/// A rank to rank 0.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: String,
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
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&json)
}

/// Receives one message.
pub fn receive<T: DeserializeOwned>(mut stream: &TcpStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut json = vec![0; length as usize];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
