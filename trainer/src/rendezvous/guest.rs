//! Every other rank's side: says hello to rank 0, then connects to its neighbours.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    time::Duration,
};

use super::{
    HELLO_TIMEOUT, Identity, Patience, RendezvousError,
    message::{Answer, Hello, Neighbour, PROTOCOL, receive, send},
};

/// Longest attempt at one connection: an address of a machine that is down does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Joins the gathering at `address` and returns the connections to this rank's neighbours, the one of bit b at index b.
pub fn join(identity: &Identity, address: &str, patience: &Patience) -> Result<Vec<TcpStream>, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: "rank 0".to_owned(), source };
    let host = connect(address, patience)?;
    // The interface that leads to rank 0 is the one the other ranks can reach.
    let listener = TcpListener::bind((host.local_addr().map_err(lost)?.ip(), 0)).map_err(lost)?;
    let hello = Hello {
        protocol: PROTOCOL.to_owned(),
        job: identity.job.clone(),
        agreement: identity.agreement.clone(),
        rank: identity.rank,
        world_size: identity.world_size,
        port: listener.local_addr().map_err(lost)?.port(),
    };
    send(&host, &hello).map_err(lost)?;
    match answer_of(&host, patience)? {
        Answer::Refused { reason } => Err(RendezvousError::Mismatch(reason)),
        Answer::Welcome { session, addresses } => {
            meet_neighbours(identity, Gathering { session, addresses, host, listener }, patience)
        }
    }
}

/// What rank 0's welcome amounts to.
struct Gathering {
    session: u64,
    addresses: Vec<SocketAddr>,
    host: TcpStream,
    listener: TcpListener,
}

/// Connects to the neighbours of lower rank, then waits for those of higher rank. Nobody waits for an answer, so the
/// order in which ranks arrive does not matter.
fn meet_neighbours(
    identity: &Identity,
    gathering: Gathering,
    patience: &Patience,
) -> Result<Vec<TcpStream>, RendezvousError> {
    let Gathering { session, addresses, host, listener } = gathering;
    let bits = identity.world_size.ilog2();
    let mut links: Vec<Option<TcpStream>> = (0..bits).map(|_| None).collect();
    let mut host = Some(host);
    for bit in (0..bits).filter(|bit| identity.rank >> bit & 1 == 1) {
        let peer = identity.rank ^ (1 << bit);
        links[bit as usize] = match peer {
            0 => host.take(),
            _ => Some(call(peer, addresses[peer], Neighbour { session, rank: identity.rank })?),
        };
    }
    while let Some(bit) = links.iter().position(Option::is_none) {
        let (stream, address) = patience.accept(&listener, &|| format!("rank {}", identity.rank ^ (1 << bit)))?;
        let Ok(Neighbour { session: theirs, rank }) = receive(&stream) else { continue };
        let distance = rank ^ identity.rank;
        if theirs == session && distance.is_power_of_two() && rank < identity.world_size {
            links[distance.ilog2() as usize] = Some(stream);
        } else {
            tracing::warn!(%address, rank, "a rank of another gathering was sent away");
        }
    }
    Ok(links.into_iter().flatten().collect())
}

fn call(peer: usize, address: SocketAddr, neighbour: Neighbour) -> Result<TcpStream, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: format!("rank {peer} at {address}"), source };
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(lost)?;
    send(&stream, &neighbour).map_err(lost)?;
    Ok(stream)
}

/// Tries again until rank 0 listens: its pod, its name in DNS and its process may all come later than this rank.
fn connect(address: &str, patience: &Patience) -> Result<TcpStream, RendezvousError> {
    let attempt = || -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                // Nobody listens yet, and the system picked the rendezvous' own port to call from: TCP lets it answer itself.
                Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {}
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    patience.wait_for(&|| format!("rank 0 at {address}"), || Ok(attempt().ok()))
}

/// Waits for rank 0's answer, which comes when all ranks are there.
fn answer_of(host: &TcpStream, patience: &Patience) -> Result<Answer, RendezvousError> {
    let lost = |source| RendezvousError::Lost { peer: "rank 0".to_owned(), source };
    host.set_nonblocking(true).map_err(lost)?;
    patience.wait_for(&|| "the other ranks".to_owned(), || match host.peek(&mut [0]) {
        Ok(_) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(lost(error)),
    })?;
    host.set_nonblocking(false).map_err(lost)?;
    host.set_read_timeout(Some(HELLO_TIMEOUT)).map_err(lost)?;
    receive(host).map_err(lost)
}
