//! How the ranks of one job find each other.
//!
//! Owns the handshake: everybody says hello to rank 0 at the job's rendezvous; rank 0 checks that all belong to one job
//! and tells them each other's addresses; then neighbours connect, and the collective takes the connections over.
//! Every connection begins with a proof that both ends know the job's token, so nobody else can end a job, take a rank's
//! place or read along. Every wait has a deadline and ends early when a stop is asked for.

mod door;
mod guest;
mod host;
mod message;
#[cfg(test)]
mod tests;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use bedplate_engine::collective::{CollectiveError, Tcp, TcpLink};

use crate::{recipe::Recipe, stop::Stop};
pub use door::Key;

/// How long ranks wait for each other: pods of one job are scheduled together, but images are pulled and a model is
/// downloaded at each node's own speed.
pub const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause between two looks at a socket: short beside everything else that starting takes, and long enough that waiting costs
/// no time of a core.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Pause before another attempt at rank 0 where somebody else answered: an address in DNS changes within seconds.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Longest a rank that belongs here may take over a message it has begun, or over reading one.
const PEER_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the ranks did not come together.
#[derive(Debug, thiserror::Error)]
pub enum RendezvousError {
    /// Rank 0 cannot listen.
    #[error("cannot listen at the rendezvous {address}; free the port, or choose another in the job file")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A rank belongs to another job, or differs in a field that all must share.
    #[error("{0}; start every rank with the same job file")]
    Mismatch(String),
    /// Not everybody came in time.
    #[error(
        "waited {seconds} s for {waiting_for}; look at the logs of the other ranks, and check rendezvous in the job file"
    )]
    Absent {
        /// Who is missing.
        waiting_for: String,
        /// How long.
        seconds: u64,
    },
    /// A rank went away during the handshake.
    #[error("lost {peer} during the rendezvous; look at its log")]
    Lost {
        /// Who.
        peer: String,
        /// What the connection said.
        source: io::Error,
    },
    /// A stop was asked for.
    #[error("stopped before all ranks had come together")]
    Stopped,
    /// The connections do not make a collective.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// Who a rank is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `namespace/name` of the job.
    pub job: String,
    /// Fields that all ranks share.
    pub agreement: Recipe,
    /// This rank.
    pub rank: usize,
    /// Number of ranks.
    pub world_size: usize,
    /// What all ranks know and strangers do not.
    pub key: Key,
}

/// How long to wait, and what ends the waiting.
#[derive(Clone, Debug)]
pub struct Patience {
    timeout: Duration,
    deadline: Instant,
    stop: Stop,
}

impl Patience {
    /// Starts the clock.
    pub fn new(timeout: Duration, stop: Stop) -> Self {
        Self { timeout, deadline: Instant::now() + timeout, stop }
    }

    /// Looks again and again until `look` has something, the deadline passes or a stop is asked for.
    fn wait_for<T>(
        &self,
        waiting_for: &dyn Fn() -> String,
        mut look: impl FnMut() -> Result<Option<T>, RendezvousError>,
    ) -> Result<T, RendezvousError> {
        loop {
            if self.stop.is_requested() {
                return Err(RendezvousError::Stopped);
            }
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= self.deadline {
                return Err(RendezvousError::Absent { waiting_for: waiting_for(), seconds: self.timeout.as_secs() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits a moment.
    fn pause(&self, waiting_for: &dyn Fn() -> String) -> Result<(), RendezvousError> {
        let end = Instant::now() + RETRY_PAUSE;
        self.wait_for(waiting_for, || Ok((Instant::now() >= end).then_some(())))
    }

    /// Whether nobody wants to wait any longer.
    fn is_over(&self) -> bool {
        self.stop.is_requested() || Instant::now() >= self.deadline
    }
}

/// Brings the ranks together at `address` and returns this rank's collective.
pub fn join(identity: &Identity, address: &str, patience: &Patience) -> Result<Tcp, RendezvousError> {
    let links = match identity.rank {
        0 => host::gather(identity, host::listen(address)?, patience)?,
        _ => guest::join(identity, address, patience)?,
    };
    let links = links.into_iter().enumerate().map(|(bit, stream)| TcpLink::new(identity.rank ^ (1 << bit), stream));
    Ok(Tcp::new(identity.rank, identity.world_size, links.collect::<Result<_, _>>()?)?)
}
