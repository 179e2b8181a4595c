//! Ranks as threads: who belongs together comes together, and everybody else is told why not.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread::JoinHandle,
};

use bedplate_engine::collective::Collective;

use super::*;

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

fn identity(rank: usize, world_size: usize) -> Identity {
    let agreement = Recipe::from([("spec.schedule.seed".to_owned(), "42".to_owned())]);
    Identity { job: "default/train".to_owned(), agreement, rank, world_size, key: Key::new(Some("token")) }
}

/// A rank of a job file without a token.
fn open_identity(rank: usize, world_size: usize) -> Identity {
    Identity { key: Key::new(None), ..identity(rank, world_size) }
}

fn patience(timeout: Duration) -> Patience {
    Patience::new(timeout, Stop::default())
}

/// Starts rank 0 on a port that nobody else has, and returns it with its address.
fn host(identity: Identity, timeout: Duration) -> (SocketAddr, JoinHandle<Result<usize, RendezvousError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gather = move || host::gather(&identity, listener, &patience(timeout)).map(|links| links.len());
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
            let links = host::gather(&identity(0, world_size), listener, &patience(LONG)).unwrap();
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
fn a_rank_of_another_job_is_sent_away_and_the_waiting_goes_on() {
    let (address, host) = host(identity(0, 2), LONG);
    let mut stranger = identity(1, 2);
    stranger.job = "default/other".to_owned();
    assert!(refusal(stranger, address).starts_with("it belongs to job default/other, not default/train"));
    join_and_expect_all(identity(1, 2), address, host);
}

/// The true rank comes, and the gathering is complete.
fn join_and_expect_all(rank: Identity, address: SocketAddr, host: JoinHandle<Result<usize, RendezvousError>>) {
    let links = guest::join(&rank, &address.to_string(), &patience(LONG)).unwrap();
    assert_eq!((links.len(), host.join().unwrap().unwrap()), (1, 1));
}

/// What a process says that takes the old greeting for enough.
fn greeting(world_size: usize) -> message::Hello {
    let Identity { job, agreement, rank, .. } = identity(1, world_size);
    message::Hello { job, agreement, rank, world_size, port: 1 }
}

#[test]
fn a_stranger_neither_ends_the_job_nor_takes_a_place_whatever_it_says() {
    let (address, host) = host(identity(0, 2), LONG);
    for world_size in [2, 9] {
        let stranger = TcpStream::connect(address).unwrap();
        message::send(&stranger, &greeting(world_size)).unwrap();
        assert!(is_closed(&stranger), "a greeting without a proof");
    }
    message::send(&TcpStream::connect(address).unwrap(), &"GET / HTTP/1.1").unwrap();
    let mut long = TcpStream::connect(address).unwrap();
    io::Write::write_all(&mut long, &u32::MAX.to_be_bytes()).unwrap();
    assert!(is_closed(&long), "a length that no proof has");
    let wrong = Identity { key: Key::new(Some("guessed")), ..identity(1, 2) };
    let end = Patience::new(Duration::from_secs(1), Stop::default());
    let message = guest::join(&wrong, &address.to_string(), &end).unwrap_err().to_string();
    assert!(message.contains("it does not know the job's rendezvousToken"), "{message}");
    join_and_expect_all(identity(1, 2), address, host);
}

/// Whether the other end closes the connection, whatever it may have said before.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match io::Read::read(&mut stream, &mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_recorded_proof_opens_nothing() {
    // A relay between a true rank and rank 0 records what the rank says; nobody hears rank 0's answer.
    let (first, host_of_first) = host(identity(0, 2), LONG);
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay_address = relay.local_addr().unwrap().to_string();
    let rank = thread::spawn(move || guest::join(&identity(1, 2), &relay_address, &patience(LONG)));
    let (caller, _) = relay.accept().unwrap();
    let door = TcpStream::connect(first).unwrap();
    let challenge: serde_json::Value = message::receive(&door).unwrap();
    message::send(&caller, &challenge).unwrap();
    let proof: serde_json::Value = message::receive(&caller).unwrap();
    let (second, host_of_second) = host(identity(0, 2), LONG);
    let replay = TcpStream::connect(second).unwrap();
    let _: serde_json::Value = message::receive(&replay).unwrap();
    message::send(&replay, &proof).unwrap();
    message::send(&replay, &greeting(9)).unwrap();
    let verdict: serde_json::Value = message::receive(&replay).unwrap();
    assert!(verdict["Closed"]["reason"].as_str().unwrap().contains("rendezvousToken"), "{verdict}");
    drop((caller, door));
    join_and_expect_all(identity(1, 2), second, host_of_second);
    // The first rank 0 is still there for whoever comes, the rank that was relayed among them.
    drop(relay);
    join_and_expect_all(identity(1, 2), first, host_of_first);
    drop(rank);
}

#[test]
fn a_crowd_that_says_nothing_uses_up_no_time() {
    let (address, host) = host(identity(0, 2), LONG);
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    let slow = TcpStream::connect(address).unwrap();
    io::Write::write_all(&mut &slow, &[0, 0]).unwrap();
    let begin = Instant::now();
    join_and_expect_all(identity(1, 2), address, host);
    assert!(begin.elapsed() < door::PROOF_TIMEOUT, "took {:?}", begin.elapsed());
    drop(silent);
}

#[test]
fn whoever_says_too_little_is_sent_away_in_time() {
    let (address, host) = host(identity(0, 2), LONG);
    let slow = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    let drip = slow.try_clone().unwrap();
    // A byte a second would keep a timeout of each read from ever passing.
    let dripping = thread::spawn(move || {
        while io::Write::write_all(&mut &drip, &[0]).is_ok() && begin.elapsed() < LONG {
            thread::sleep(Duration::from_secs(1));
        }
    });
    assert!(is_closed(&slow));
    assert!(begin.elapsed() < door::PROOF_TIMEOUT + Duration::from_secs(3), "took {:?}", begin.elapsed());
    dripping.join().unwrap();
    join_and_expect_all(identity(1, 2), address, host);
}

#[test]
fn a_rank_does_not_take_a_stranger_for_rank_0() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let told = thread::spawn(move || {
        let (caller, _) = stranger.accept().unwrap();
        let reason = "go away".to_owned();
        message::send(&caller, &message::Answer::Refused { reason }).unwrap();
        let (mut caller, _) = stranger.accept().unwrap();
        let _ = io::Write::write_all(&mut caller, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        drop(stranger);
    });
    let end = Patience::new(Duration::from_secs(3), Stop::default());
    let error = guest::join(&identity(1, 2), &address, &end).unwrap_err();
    assert!(matches!(error, RendezvousError::Absent { .. }), "{error}");
    assert!(error.to_string().contains("who answers there is not it"), "{error}");
    told.join().unwrap();
}

#[test]
fn the_door_of_a_neighbour_lets_in_who_proves_itself_and_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut door = door::Door::new(listener, Key::new(Some("token"))).unwrap();
    let wanted = message::Neighbour { session: 7, rank: 3 };
    let strangers: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    strangers.iter().for_each(|stranger| message::send(stranger, &wanted).unwrap());
    for (token, is_let_in) in [(Some("guessed"), false), (None, false), (Some("token"), true)] {
        let caller = TcpStream::connect(address).unwrap();
        let key = Key::new(token);
        let mut knock = door::Knock::new(&caller, &key).unwrap();
        let proven = patience(LONG).wait_for(&String::new, || {
            door.tend();
            Ok(knock.go_on().map_or(Some(false), |proven| proven.then_some(true)))
        });
        assert_eq!(proven.unwrap(), is_let_in, "{token:?}");
        if is_let_in {
            message::send(&caller, &wanted).unwrap();
            let arrival = patience(LONG).wait_for(&String::new, || Ok(door.next())).unwrap();
            assert_eq!(arrival.message, br#"{"session":7,"rank":3}"#);
            assert_eq!(arrival.address, caller.local_addr().unwrap());
        }
    }
    assert!(strangers.iter().all(is_closed) && door.next().is_none());
}

#[test]
fn without_a_token_a_stranger_ends_nothing_and_takes_no_place_that_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gather =
        thread::spawn(move || host::gather(&open_identity(0, 4), listener, &patience(LONG)).map(|links| links.len()));
    let join = move |rank, world_size| {
        thread::spawn(move || guest::join(&open_identity(rank, world_size), &address.to_string(), &patience(LONG)))
    };
    assert!(join(1, 8).join().unwrap().unwrap_err().to_string().starts_with("rank 1 knows of 8 ranks"));
    let first = join(1, 4);
    thread::sleep(Duration::from_millis(500));
    let second = join(1, 4).join().unwrap().unwrap_err().to_string();
    assert!(second.starts_with("rank 1 is here already"), "{second}");
    let others = [join(2, 4), join(3, 4)];
    assert_eq!(first.join().unwrap().unwrap().len(), 2);
    assert!(others.into_iter().all(|rank| rank.join().unwrap().unwrap().len() == 2));
    assert_eq!(gather.join().unwrap().unwrap(), 2);
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
