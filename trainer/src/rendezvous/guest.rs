//! Every other rank's side: says hello to rank 0, then connects to its neighbours.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};

use super::{
    Identity, PEER_ANSWER_TIMEOUT, Patience, RendezvousError,
    door::{Arrival, Door, Knock, PROOF_TIMEOUT},
    message::{Answer, Hello, Neighbour, receive, send},
};

/// Longest attempt at one connection: an address of a machine that is down does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after an attempt at rank 0 that nobody answered: each may ask DNS.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Attempts at a neighbour, which listens already: its queue may be full of strangers for a moment.
const CALLS: usize = 5;

/// Joins the gathering at `address` and returns the connections to this rank's neighbours, the one of bit b at index b.
pub fn join(identity: &Identity, address: &str, patience: &Patience) -> Result<Vec<TcpStream>, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: "rank 0".to_owned(), source };
    let host = find_host(identity, address, patience)?;
    // The interface that leads to rank 0 is the one the other ranks can reach.
    let listener = TcpListener::bind((host.local_addr().map_err(lost)?.ip(), 0)).map_err(lost)?;
    let mut door = Door::new(listener, identity.key.clone()).map_err(lost)?;
    let hello = Hello {
        job: identity.job.clone(),
        agreement: identity.agreement.clone(),
        rank: identity.rank,
        world_size: identity.world_size,
        port: door.address().map_err(lost)?.port(),
    };
    send(&host, &hello).map_err(lost)?;
    match answer_of(&host, &mut door, patience)? {
        Answer::Refused { reason } => Err(RendezvousError::Mismatch(reason)),
        Answer::Welcome { session, addresses } => {
            meet_neighbours(identity, Gathering { session, addresses, host, door }, patience)
        }
    }
}

/// What rank 0's welcome amounts to.
struct Gathering {
    session: u64,
    addresses: Vec<SocketAddr>,
    host: TcpStream,
    door: Door,
}

/// Connects to the neighbours of lower rank, then waits for those of higher rank. Everybody waits for lower ranks alone, so
/// the order in which ranks arrive does not matter.
fn meet_neighbours(
    identity: &Identity,
    gathering: Gathering,
    patience: &Patience,
) -> Result<Vec<TcpStream>, RendezvousError> {
    let Gathering { session, addresses, host, mut door } = gathering;
    let bits = identity.world_size.ilog2();
    let mut links: Vec<Option<TcpStream>> = (0..bits).map(|_| None).collect();
    let mut host = Some(host);
    for bit in (0..bits).filter(|bit| identity.rank >> bit & 1 == 1) {
        let peer = identity.rank ^ (1 << bit);
        links[bit as usize] = match (peer, addresses.get(peer)) {
            (0, _) => host.take(),
            (_, Some(&address)) => Some(call(identity, (peer, address), session, &mut door, patience)?),
            (_, None) => return Err(RendezvousError::Mismatch(format!("rank 0 knows of no rank {peer}"))),
        };
    }
    while let Some(bit) = links.iter().position(Option::is_none) {
        let arrival = patience.wait_for(&|| format!("rank {}", identity.rank ^ (1 << bit)), || Ok(door.next()))?;
        let Arrival { stream, address, message } = arrival;
        let Ok(Neighbour { session: theirs, rank }) = serde_json::from_slice(&message) else { continue };
        let distance = rank ^ identity.rank;
        if theirs == session && distance.is_power_of_two() && rank < identity.world_size {
            links[distance.ilog2() as usize] = Some(stream);
        } else {
            tracing::warn!(%address, rank, "a rank of another gathering was sent away");
        }
    }
    Ok(links.into_iter().flatten().collect())
}

/// Connects to a neighbour, each side proving to the other that it belongs to the job.
fn call(
    identity: &Identity,
    (peer, address): (usize, SocketAddr),
    session: u64,
    door: &mut Door,
    patience: &Patience,
) -> Result<TcpStream, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: format!("rank {peer} at {address}"), source };
    let mut attempts = 0..CALLS;
    let stream = loop {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => break stream,
            Err(error) if error.kind() == ErrorKind::TimedOut && attempts.next().is_some() => door.tend(),
            Err(error) => return Err(lost(error)),
        }
    };
    {
        let mut knock = Knock::new(&stream, &identity.key).map_err(lost)?;
        patience.wait_for(&|| format!("rank {peer} at {address}"), || {
            door.tend();
            Ok(knock.go_on().map_err(lost)?.then_some(()))
        })?;
    }
    send(&stream, &Neighbour { session, rank: identity.rank }).map_err(lost)?;
    Ok(stream)
}

/// Tries again until rank 0 opens its door: its pod, its name in DNS and its process may all come later than this rank, and
/// until then somebody else may have its address.
fn find_host(identity: &Identity, address: &str, patience: &Patience) -> Result<TcpStream, RendezvousError> {
    let refusal = RefCell::new(String::new());
    let waiting_for = || format!("rank 0 at {address}{}", refusal.borrow());
    loop {
        let host = patience.wait_for(&waiting_for, || Ok(connect(address).or_else(pause).ok()))?;
        let end = Instant::now() + PROOF_TIMEOUT;
        let proven = Knock::new(&host, &identity.key).and_then(|mut knock| {
            let proven = patience.wait_for(&waiting_for, || match knock.go_on() {
                Ok(true) => Ok(Some(Ok(()))),
                Ok(false) if Instant::now() < end => Ok(None),
                Ok(false) => Ok(Some(Err(io::Error::from(ErrorKind::TimedOut)))),
                Err(error) => Ok(Some(Err(error))),
            });
            proven.unwrap_or_else(|error| Err(io::Error::other(error)))
        });
        match proven {
            Ok(()) => return Ok(host),
            Err(_) if patience.is_over() => {}
            Err(error) => {
                let told = format!(" (who answers there is not it: {error})");
                if *refusal.borrow() != told {
                    tracing::warn!(address, %error, "who answers at the rendezvous is not rank 0 of this job; trying again");
                }
                refusal.replace(told);
            }
        }
        patience.pause(&waiting_for)?;
    }
}

fn pause(error: io::Error) -> io::Result<TcpStream> {
    thread::sleep(CONNECT_PAUSE);
    Err(error)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            // Nobody listens yet, and the system picked the rendezvous' own port to call from: TCP lets it answer itself.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {}
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits for rank 0's answer, which comes when all ranks are there.
fn answer_of(host: &TcpStream, door: &mut Door, patience: &Patience) -> Result<Answer, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: "rank 0".to_owned(), source };
    host.set_nonblocking(true).map_err(lost)?;
    patience.wait_for(&|| "the other ranks".to_owned(), || {
        door.tend();
        match host.peek(&mut [0]) {
            Ok(_) => Ok(Some(())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(lost(error)),
        }
    })?;
    host.set_nonblocking(false).map_err(lost)?;
    host.set_read_timeout(Some(PEER_ANSWER_TIMEOUT)).map_err(lost)?;
    receive(host).map_err(lost)
}
