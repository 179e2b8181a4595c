//! Ranks as threads: who belongs together comes together, and everybody else is told why not.

use std::{
    net::{SocketAddr, TcpListener},
    thread::JoinHandle,
};

use bedplate_engine::collective::Collective;

use super::*;

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

fn identity(rank: usize, world_size: usize) -> Identity {
    let agreement = Recipe::from([("spec.schedule.seed".to_owned(), "42".to_owned())]);
    Identity { job: "default/train".to_owned(), agreement, rank, world_size }
}

fn patience(timeout: Duration) -> Patience {
    Patience::new(timeout, Stop::default())
}

/// Starts rank 0 on a port that nobody else has, and returns it with its address.
fn host(identity: Identity, timeout: Duration) -> (SocketAddr, JoinHandle<Result<usize, RendezvousError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gather = move || host::gather(&identity, &listener, &patience(timeout)).map(|links| links.len());
    (address, thread::spawn(gather))
}

fn refusal(identity: Identity, address: SocketAddr) -> String {
    guest::join(&identity, &address.to_string(), &patience(LONG)).unwrap_err().to_string()
}

#[test]
fn all_ranks_come_together_in_any_order_and_add_up() {
    for world_size in [2, 4, 8] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sums: Vec<f32> = thread::scope(|scope| {
            // Highest first: they have to wait for the others.
            let guests: Vec<_> = (1..world_size)
                .rev()
                .map(|rank| {
                    let address = &address;
                    scope.spawn(move || join(&identity(rank, world_size), address, &patience(LONG)).unwrap())
                })
                .collect();
            let links = host::gather(&identity(0, world_size), &listener, &patience(LONG)).unwrap();
            let links = links.into_iter().enumerate().map(|(bit, stream)| TcpLink::new(1 << bit, stream).unwrap());
            let first = Tcp::new(0, world_size, links.collect()).unwrap();
            let ranks: Vec<_> =
                std::iter::once(first).chain(guests.into_iter().rev().map(|guest| guest.join().unwrap())).collect();
            let sum = |mut rank: Tcp| {
                let mut values = [rank.rank() as f32 + 1.0];
                rank.all_reduce_sum(&mut values).unwrap();
                values[0]
            };
            let sums: Vec<_> = ranks.into_iter().map(|rank| scope.spawn(move || sum(rank))).collect();
            sums.into_iter().map(|sum| sum.join().unwrap()).collect()
        });
        assert_eq!(sums, vec![(world_size * (world_size + 1) / 2) as f32; world_size]);
    }
}

#[test]
fn a_rank_with_another_recipe_is_told_which_field_differs_and_rank_0_gives_up_too() {
    let (address, host) = host(identity(0, 2), LONG);
    let mut other = identity(1, 2);
    other.agreement.insert("spec.schedule.seed".to_owned(), "43".to_owned());
    let expected = "spec.schedule.seed is 43 on rank 1 and 42 on rank 0; start every rank with the same job file";
    assert_eq!(refusal(other, address), expected);
    assert_eq!(host.join().unwrap().unwrap_err().to_string(), expected);
}

#[test]
fn a_rank_of_another_number_of_ranks_is_refused() {
    let (address, host) = host(identity(0, 2), LONG);
    let message = refusal(identity(1, 4), address);
    assert!(message.starts_with("rank 1 knows of 4 ranks, rank 0 of 2"), "{message}");
    assert!(host.join().unwrap().is_err());
}

#[test]
fn strangers_are_sent_away_and_the_waiting_goes_on() {
    let (address, host) = host(identity(0, 2), LONG);
    let mut stranger = identity(1, 2);
    stranger.job = "default/other".to_owned();
    assert!(refusal(stranger, address).starts_with("it belongs to job default/other, not default/train"));
    message::send(&TcpStream::connect(address).unwrap(), &"GET / HTTP/1.1").unwrap();
    let links = guest::join(&identity(1, 2), &address.to_string(), &patience(LONG)).unwrap();
    assert_eq!((links.len(), host.join().unwrap().unwrap()), (1, 1));
}

#[test]
fn waiting_ends_at_the_deadline_and_names_who_is_missing() {
    let (address, host) = host(identity(0, 4), SHORT);
    let second = thread::spawn(move || refusal(identity(2, 4), address));
    let message = host.join().unwrap().unwrap_err().to_string();
    assert!(message.contains("for ranks 1, 3;") || message.contains("for ranks 1, 2, 3;"), "{message}");
    assert!(second.join().unwrap().starts_with("lost rank 0 during the rendezvous"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let alone = guest::join(&identity(1, 2), &nobody, &patience(SHORT)).unwrap_err().to_string();
    assert!(alone.contains(&format!("for rank 0 at {nobody}")), "{alone}");
}

#[test]
fn a_stop_ends_the_waiting() {
    let stop = Stop::default();
    stop.request();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let result = guest::join(&identity(1, 2), &nobody, &Patience::new(LONG, stop));
    assert!(matches!(result, Err(RendezvousError::Stopped)));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = TcpListener::bind(taken).unwrap();
    let message = host::listen(&taken.to_string()).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot listen at the rendezvous {taken}")), "{message}");
}
