//! Rank 0's side: listens, checks who comes, and introduces them to each other.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use super::{
    Identity, PEER_ANSWER_TIMEOUT, Patience, RendezvousError,
    door::{self, Arrival, Door},
    message::{Answer, Hello, send},
};
use crate::{
    job::{host_of, is_loopback},
    recipe::first_difference,
};

/// A rank that has said hello.
struct Guest {
    stream: TcpStream,
    address: SocketAddr,
}

/// Why somebody is not let in.
enum Refusal {
    /// Not of this job: sent away, and the waiting goes on.
    Stranger(String),
    /// Of this job, but started wrongly: nothing good can come of going on.
    Mismatch(String),
}

/// Listens at the port of `address`: on loopback where it says so, else on every interface, since the name in it is how
/// others see this machine.
pub fn listen(address: &str) -> Result<TcpListener, RendezvousError> {
    let failed = |source| RendezvousError::Listen { address: address.to_owned(), source };
    let listener = if is_loopback(host_of(address)) {
        TcpListener::bind(address)
    } else {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let port = port.ok_or_else(|| failed(std::io::Error::other("it does not end with a port number")))?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
    };
    listener.map_err(failed)
}

/// Waits for every other rank and returns the connections to this rank's neighbours.
pub fn gather(
    identity: &Identity,
    listener: TcpListener,
    patience: &Patience,
) -> Result<Vec<TcpStream>, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: "the listener".to_owned(), source };
    let mut door = Door::new(listener, identity.key.clone()).map_err(lost)?;
    let mut guests: Vec<Option<Guest>> = (1..identity.world_size).map(|_| None).collect();
    while guests.iter().any(Option::is_none) {
        let arrival = patience.wait_for(&|| format!("ranks {}", missing(&guests)), || Ok(door.next()))?;
        welcome(identity, arrival, &mut guests)?;
    }
    introduce(guests.into_iter().flatten().collect(), door.address().map_err(lost)?)
}

/// Gives an arrival its place, or sends it away.
///
/// # Errors
/// When a rank of this very job was started wrongly.
fn welcome(identity: &Identity, arrival: Arrival, guests: &mut [Option<Guest>]) -> Result<(), RendezvousError> {
    let Arrival { stream, address, message } = arrival;
    let Ok(hello) = serde_json::from_slice::<Hello>(&message) else {
        tracing::warn!(%address, "somebody came to the rendezvous without a hello");
        return Ok(());
    };
    match check(identity, &hello, guests) {
        // A rank that comes twice was started again: its first connection is dead.
        Ok(()) => {
            let address = SocketAddr::new(address.ip(), hello.port);
            guests[hello.rank - 1] = Some(Guest { stream, address });
            Ok(())
        }
        Err(Refusal::Mismatch(reason)) if identity.key.is_secret() => {
            refuse(&stream, &reason);
            Err(RendezvousError::Mismatch(reason))
        }
        Err(Refusal::Stranger(reason) | Refusal::Mismatch(reason)) => {
            tracing::warn!(%address, reason, "a stranger was sent away from the rendezvous");
            refuse(&stream, &reason);
            Ok(())
        }
    }
}

/// Sends everybody the list of addresses, and keeps the connections to the neighbours: ranks 1, 2 and 4.
fn introduce(guests: Vec<Guest>, own: SocketAddr) -> Result<Vec<TcpStream>, RendezvousError> {
    let lost = |peer: usize| move |source| RendezvousError::Lost { peer: format!("rank {peer}"), source };
    let addresses: Vec<SocketAddr> = std::iter::once(own).chain(guests.iter().map(|guest| guest.address)).collect();
    let answer = Answer::Welcome { session: door::session().map_err(lost(0))?, addresses };
    let mut links = Vec::new();
    for (place, guest) in guests.into_iter().enumerate() {
        let rank = place + 1;
        guest.stream.set_write_timeout(Some(PEER_ANSWER_TIMEOUT)).map_err(lost(rank))?;
        send(&guest.stream, &answer).map_err(lost(rank))?;
        if rank.is_power_of_two() {
            links.push(guest.stream);
        }
    }
    Ok(links)
}

fn check(identity: &Identity, hello: &Hello, guests: &[Option<Guest>]) -> Result<(), Refusal> {
    if hello.job != identity.job {
        return Err(Refusal::Stranger(format!("it belongs to job {}, not {}", hello.job, identity.job)));
    }
    if hello.world_size != identity.world_size {
        let (theirs, ours) = (hello.world_size, identity.world_size);
        return Err(Refusal::Mismatch(format!("rank {} knows of {theirs} ranks, rank 0 of {ours}", hello.rank)));
    }
    if !(1..identity.world_size).contains(&hello.rank) {
        return Err(Refusal::Mismatch(format!("two processes were started as rank {}", hello.rank)));
    }
    if let Some((field, ours, theirs)) = first_difference(&identity.agreement, &hello.agreement) {
        return Err(Refusal::Mismatch(format!("{field} is {theirs} on rank {} and {ours} on rank 0", hello.rank)));
    }
    // Without a token nobody can tell a rank that was started again from a stranger who wants its place.
    let is_taken = || guests[hello.rank - 1].as_ref().is_some_and(|guest| is_alive(&guest.stream));
    if !identity.key.is_secret() && is_taken() {
        return Err(Refusal::Stranger(format!("rank {} is here already", hello.rank)));
    }
    Ok(())
}

/// Whether the other end has not gone away: it says nothing before it is answered.
fn is_alive(stream: &TcpStream) -> bool {
    let waits = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let _ = stream.set_nonblocking(false);
    waits.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn refuse(stream: &TcpStream, reason: &str) {
    // Whoever does not wait for the answer has its own log.
    let _ = send(stream, &Answer::Refused { reason: reason.to_owned() });
}

fn missing(guests: &[Option<Guest>]) -> String {
    let ranks =
        guests.iter().enumerate().filter(|(_, guest)| guest.is_none()).map(|(place, _)| (place + 1).to_string());
    ranks.collect::<Vec<_>>().join(", ")
}
