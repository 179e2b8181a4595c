//! The door of a rank: whoever connects proves that it knows the job's token before anything it says counts.
//!
//! Owns the proof, and how many strangers may stand at the door and for how long. The proof is a challenge and a keyed hash
//! over two fresh nonces, in both directions, so that a recorded one opens nothing. It is no encryption: what follows on the
//! connection is as readable as the network it crosses. Never knows what is said afterwards.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::message::{Frame, MAX_MESSAGE_BYTES, PROTOCOL, send};

/// Longest a connection may take to prove itself and say what it wants; both are a few packets.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at the door at once. Where more come, the one that has stood there longest goes: a rank is done within a
/// round trip, so only somebody who says nothing stands long.
const MAX_VISITORS: usize = 256;
/// Connections taken in one look, so that a flood does not keep those at the door from being heard.
const MAX_ACCEPTS: usize = 64;
/// Longest message of somebody unknown: a nonce and a hash with their names take some 200 bytes.
const MAX_PROOF_BYTES: u32 = 1 << 10;
/// Strangers that get a line each in the log; of those after them every so many one does.
const LOGGED_STRANGERS: u64 = 32;
const LOGGED_EVERY: u64 = 1024;
/// What the key is derived for (blake3's context string: unique, and never changed).
const KEY_CONTEXT: &str = "bedplate.dev 2026-12-01 rendezvous token";

/// What all ranks of a job know and nobody else does.
#[derive(Clone)]
pub struct Key {
    key: [u8; 32],
    is_secret: bool,
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key").field("is_secret", &self.is_secret).finish_non_exhaustive()
    }
}

/// A random number that is used once.
type Nonce = [u8; 32];

/// Who makes a proof: the two differ, so that one cannot be sent back as the other.
#[derive(Clone, Copy)]
enum Side {
    Caller,
    Door,
}

impl Key {
    /// From the job file's token. Without one the key is public: strangers cannot be told from ranks.
    pub fn new(token: Option<&str>) -> Self {
        Self { key: blake3::derive_key(KEY_CONTEXT, token.unwrap_or_default().as_bytes()), is_secret: token.is_some() }
    }

    /// Whether who knows it belongs to the job.
    pub fn is_secret(&self) -> bool {
        self.is_secret
    }

    fn proof(&self, side: Side, door: &Nonce, caller: &Nonce) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(match side {
            Side::Caller => b"caller",
            Side::Door => b"door  ",
        });
        hasher.update(door).update(caller);
        hasher.finalize()
    }

    /// Compares in constant time, as `blake3::Hash` does.
    fn is_proven(&self, side: Side, door: &Nonce, caller: &Nonce, proof: &str) -> bool {
        blake3::Hash::from_hex(proof).is_ok_and(|proof| proof == self.proof(side, door, caller))
    }
}

/// The door to whoever connects.
#[derive(Debug, Deserialize, Serialize)]
struct Challenge {
    protocol: String,
    nonce: String,
}

/// The caller's answer.
#[derive(Debug, Deserialize, Serialize)]
struct Proof {
    protocol: String,
    nonce: String,
    proof: String,
}

/// The door's answer to that.
#[derive(Debug, Deserialize, Serialize)]
enum Verdict {
    /// Come in; the proof says that this is the right door.
    Open { proof: String },
    /// Why not.
    Closed { reason: String },
}

/// 32 random bytes from the system.
fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

/// A number that nobody guesses.
pub fn session() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn hex(nonce: &Nonce) -> String {
    blake3::Hash::from_bytes(*nonce).to_hex().to_string()
}

fn unhex(nonce: &str) -> Option<Nonce> {
    blake3::Hash::from_hex(nonce).ok().map(|hash| *hash.as_bytes())
}

/// Somebody who has proven to know the token, and its first message.
#[derive(Debug)]
pub struct Arrival {
    /// The connection, blocking.
    pub stream: TcpStream,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it said: JSON.
    pub message: Vec<u8>,
}

/// Somebody at the door.
struct Visitor {
    stream: TcpStream,
    address: SocketAddr,
    deadline: Instant,
    nonce: Nonce,
    frame: Frame,
    is_known: bool,
}

/// A listener, and all who stand before it.
pub struct Door {
    listener: TcpListener,
    key: Key,
    visitors: VecDeque<Visitor>,
    arrivals: VecDeque<Arrival>,
    strangers: u64,
}

impl Door {
    /// Takes a listener over.
    pub fn new(listener: TcpListener, key: Key) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, key, visitors: VecDeque::new(), arrivals: VecDeque::new(), strangers: 0 })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next who was let in, if there is one. Never waits.
    pub fn next(&mut self) -> Option<Arrival> {
        self.tend();
        self.arrivals.pop_front()
    }

    /// Hears everybody at the door. Never waits.
    pub fn tend(&mut self) {
        self.accept();
        for mut visitor in std::mem::take(&mut self.visitors) {
            match visitor.hear(&self.key) {
                Ok(None) => self.visitors.push_back(visitor),
                Ok(Some(message)) => {
                    let Visitor { stream, address, .. } = visitor;
                    match stream.set_nonblocking(false) {
                        Ok(()) => self.arrivals.push_back(Arrival { stream, address, message }),
                        Err(error) => self.turn_away(address, &error.to_string()),
                    }
                }
                Err(error) => self.turn_away(visitor.address, &error.to_string()),
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..MAX_ACCEPTS {
            match self.listener.accept() {
                Ok((stream, address)) => match Visitor::new(stream, address) {
                    Ok(visitor) => self.visitors.push_back(visitor),
                    Err(error) => self.turn_away(address, &error.to_string()),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A connection that was broken off before it was taken, or no file descriptor is left: neither ends the job.
                Err(error) => {
                    tracing::debug!(%error, "a connection was not taken");
                    break;
                }
            }
        }
        while self.visitors.len() > MAX_VISITORS {
            if let Some(oldest) = self.visitors.pop_front() {
                self.turn_away(oldest.address, "others wait and it says nothing");
            }
        }
    }

    fn turn_away(&mut self, address: SocketAddr, reason: &str) {
        self.strangers += 1;
        if self.strangers <= LOGGED_STRANGERS || self.strangers.is_multiple_of(LOGGED_EVERY) {
            tracing::warn!(%address, reason, strangers = self.strangers, "a stranger was sent away from the rendezvous");
        }
    }
}

impl Visitor {
    fn new(stream: TcpStream, address: SocketAddr) -> io::Result<Self> {
        let nonce = nonce()?;
        send(&stream, &Challenge { protocol: PROTOCOL.to_owned(), nonce: hex(&nonce) })?;
        stream.set_nonblocking(true)?;
        let deadline = Instant::now() + PROOF_TIMEOUT;
        Ok(Self { stream, address, deadline, nonce, frame: Frame::default(), is_known: false })
    }

    /// What it says once it is known; nothing as long as it has not said it.
    fn hear(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        if !self.is_known {
            let Some(proof) = self.receive(MAX_PROOF_BYTES)? else { return Ok(None) };
            self.judge(key, &proof)?;
            self.is_known = true;
        }
        self.receive(MAX_MESSAGE_BYTES)
    }

    fn receive(&mut self, limit: u32) -> io::Result<Option<Vec<u8>>> {
        match self.frame.receive(&self.stream, limit)? {
            None if Instant::now() >= self.deadline => Err(io::Error::new(ErrorKind::TimedOut, "it said too little")),
            received => Ok(received),
        }
    }

    fn judge(&self, key: &Key, message: &[u8]) -> io::Result<()> {
        let proof: Proof = serde_json::from_slice(message).map_err(|_| io::Error::other("it gave no proof"))?;
        let verdict = match unhex(&proof.nonce) {
            _ if proof.protocol != PROTOCOL => Err(format!("it speaks another protocol than {PROTOCOL}")),
            Some(caller) if key.is_proven(Side::Caller, &self.nonce, &caller, &proof.proof) => {
                Ok(key.proof(Side::Door, &self.nonce, &caller).to_hex().to_string())
            }
            _ => Err("it does not know the job's rendezvousToken".to_owned()),
        };
        match verdict {
            Ok(proof) => send(&self.stream, &Verdict::Open { proof }),
            Err(reason) => {
                // Whoever does not wait for the answer has its own log.
                let _ = send(&self.stream, &Verdict::Closed { reason: reason.clone() });
                Err(io::Error::new(ErrorKind::PermissionDenied, reason))
            }
        }
    }
}

/// The caller's side of one proof.
pub struct Knock<'a> {
    stream: &'a TcpStream,
    key: &'a Key,
    frame: Frame,
    nonces: Option<(Nonce, Nonce)>,
}

impl<'a> Knock<'a> {
    /// Begins at a connection that nothing was said on.
    pub fn new(stream: &'a TcpStream, key: &'a Key) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, key, frame: Frame::default(), nonces: None })
    }

    /// Goes on as far as it goes without waiting; true once both sides have proven themselves.
    pub fn go_on(&mut self) -> io::Result<bool> {
        let (door, caller) = match self.nonces {
            Some(nonces) => nonces,
            None => {
                let Some(challenge) = self.frame.receive(self.stream, MAX_PROOF_BYTES)? else { return Ok(false) };
                *self.nonces.insert(self.answer(&challenge)?)
            }
        };
        let Some(verdict) = self.frame.receive(self.stream, MAX_PROOF_BYTES)? else { return Ok(false) };
        match serde_json::from_slice(&verdict)? {
            Verdict::Open { proof } if self.key.is_proven(Side::Door, &door, &caller, &proof) => {
                self.stream.set_nonblocking(false)?;
                Ok(true)
            }
            Verdict::Open { .. } => Err(io::Error::other("it does not know the job's rendezvousToken itself")),
            Verdict::Closed { reason } => Err(io::Error::other(format!("it turned this rank away: {reason}"))),
        }
    }

    fn answer(&self, challenge: &[u8]) -> io::Result<(Nonce, Nonce)> {
        let challenge: Challenge =
            serde_json::from_slice(challenge).map_err(|_| io::Error::other("it is no rendezvous"))?;
        if challenge.protocol != PROTOCOL {
            return Err(io::Error::other(format!("it speaks another protocol than {PROTOCOL}")));
        }
        let door = unhex(&challenge.nonce).ok_or_else(|| io::Error::other("it is no rendezvous"))?;
        let caller = nonce()?;
        let proof = self.key.proof(Side::Caller, &door, &caller).to_hex().to_string();
        send(self.stream, &Proof { protocol: PROTOCOL.to_owned(), nonce: hex(&caller), proof })?;
        Ok((door, caller))
    }
}
