//! Rank 0's side: listens, checks who comes, and introduces them to each other.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use super::{
    Identity, Patience, RendezvousError,
    message::{Answer, Hello, PROTOCOL, receive, send},
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
    listener: &TcpListener,
    patience: &Patience,
) -> Result<Vec<TcpStream>, RendezvousError> {
    let mut guests: Vec<Option<Guest>> = (1..identity.world_size).map(|_| None).collect();
    while guests.iter().any(Option::is_none) {
        let (stream, address) = patience.accept(listener, &|| format!("ranks {}", missing(&guests)))?;
        let hello: Hello = match receive(&stream) {
            Ok(hello) => hello,
            Err(error) => {
                tracing::warn!(%address, %error, "somebody connected to the rendezvous without a hello");
                continue;
            }
        };
        match check(identity, &hello) {
            // A rank that comes twice was started again: its first connection is dead.
            Ok(()) => {
                let address = SocketAddr::new(address.ip(), hello.port);
                guests[hello.rank - 1] = Some(Guest { stream, address });
            }
            Err(Refusal::Stranger(reason)) => {
                tracing::warn!(%address, reason, "a stranger was sent away from the rendezvous");
                refuse(&stream, &reason);
            }
            Err(Refusal::Mismatch(reason)) => {
                refuse(&stream, &reason);
                return Err(RendezvousError::Mismatch(reason));
            }
        }
    }
    introduce(guests.into_iter().flatten().collect(), listener)
}

/// Sends everybody the list of addresses, and keeps the connections to the neighbours: ranks 1, 2 and 4.
fn introduce(guests: Vec<Guest>, listener: &TcpListener) -> Result<Vec<TcpStream>, RendezvousError> {
    let lost = |peer: usize| move |source| RendezvousError::Lost { peer: format!("rank {peer}"), source };
    let own = listener.local_addr().map_err(lost(0))?;
    let addresses: Vec<SocketAddr> = std::iter::once(own).chain(guests.iter().map(|guest| guest.address)).collect();
    let answer = Answer::Welcome { session: RandomState::new().build_hasher().finish(), addresses };
    let mut links = Vec::new();
    for (place, guest) in guests.into_iter().enumerate() {
        let rank = place + 1;
        send(&guest.stream, &answer).map_err(lost(rank))?;
        if rank.is_power_of_two() {
            links.push(guest.stream);
        }
    }
    Ok(links)
}

fn check(identity: &Identity, hello: &Hello) -> Result<(), Refusal> {
    if hello.protocol != PROTOCOL {
        return Err(Refusal::Stranger(format!("it speaks {}, not {PROTOCOL}", hello.protocol)));
    }
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
    Ok(())
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
