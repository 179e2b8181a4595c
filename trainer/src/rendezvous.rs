//! How the ranks of one job find each other.
//!
//! Owns the handshake: everybody says hello to rank 0 at the job's rendezvous; rank 0 checks that all belong to one job
//! and tells them each other's addresses; then neighbours connect, and the collective takes the connections over.
//! Every wait has a deadline and ends early when a stop is asked for.

mod guest;
mod host;
mod message;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bedplate_engine::collective::{CollectiveError, Tcp, TcpLink};

use crate::{recipe::Recipe, stop::Stop};

/// How long ranks wait for each other: pods of one job are scheduled together, but images are pulled and a model is
/// downloaded at each node's own speed.
pub const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause between two looks at a socket or two attempts to connect: short beside everything else that starting takes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest a connection may keep rank 0 waiting for its hello, so that a stranger cannot hold up the job.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// The next connection, blocking and with a bound on silence.
    fn accept(
        &self,
        listener: &TcpListener,
        waiting_for: &dyn Fn() -> String,
    ) -> Result<(TcpStream, SocketAddr), RendezvousError> {
        let lost = |source| RendezvousError::Lost { peer: "the listener".to_owned(), source };
        listener.set_nonblocking(true).map_err(lost)?;
        let accepted = self.wait_for(waiting_for, || match listener.accept() {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(lost(error)),
        })?;
        accepted.0.set_nonblocking(false).map_err(lost)?;
        accepted.0.set_read_timeout(Some(HELLO_TIMEOUT)).map_err(lost)?;
        Ok(accepted)
    }
}

/// Brings the ranks together at `address` and returns this rank's collective.
pub fn join(identity: &Identity, address: &str, patience: &Patience) -> Result<Tcp, RendezvousError> {
    let links = match identity.rank {
        0 => host::gather(identity, &host::listen(address)?, patience)?,
        _ => guest::join(identity, address, patience)?,
    };
    let links = links.into_iter().enumerate().map(|(bit, stream)| TcpLink::new(identity.rank ^ (1 << bit), stream));
    Ok(Tcp::new(identity.rank, identity.world_size, links.collect::<Result<_, _>>()?)?)
}
