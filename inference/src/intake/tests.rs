//! Room is counted, given back, and kept apart for small requests and large ones.

use std::sync::mpsc;

use super::*;

const MEGABYTE: usize = 1 << 20;
/// Each channel says one thing once.
const ONE_WORD: usize = 1;

#[tokio::test]
async fn large_requests_are_refused_beyond_their_bytes_and_let_in_again_after() {
    let intake = Intake::new(2);
    let held: Vec<_> = (0..4).map(|_| intake.reserve(Some(16 * MEGABYTE)).unwrap()).collect();
    let refused = intake.reserve(Some(MEGABYTE)).unwrap_err();
    assert_eq!(refused, ApiError::IntakeFull { most_bytes: LARGE_LANE_BYTES });
    intake.reserve(Some(1000)).expect("small requests have room of their own");
    drop(held);
    intake.reserve(Some(16 * MEGABYTE)).expect("there is room again");
}

#[tokio::test]
async fn requests_without_any_bytes_are_bounded_in_number() {
    let intake = Intake::new(2);
    let held: Vec<_> = std::iter::from_fn(|| intake.reserve(Some(0)).ok()).take(100_000).collect();
    assert_eq!(held.len(), SMALL_LANE_BYTES / LEAST_BYTES);
}

#[tokio::test]
async fn a_request_of_unknown_length_grows_until_there_is_no_room() {
    let intake = Intake::new(2);
    let mut growing = intake.reserve(None).unwrap();
    growing.hold(LARGE_LANE_BYTES).unwrap();
    growing.hold(10).expect("it is larger already");
    assert!(growing.hold(LARGE_LANE_BYTES + 1).is_err());
}

#[tokio::test]
async fn the_room_is_held_while_the_work_runs_even_if_nobody_waits_for_it() {
    let intake = Intake::new(2);
    let (go, waits) = mpsc::sync_channel::<()>(ONE_WORD);
    let (ended, end) = mpsc::sync_channel(ONE_WORD);
    let reservation = intake.reserve(Some(LARGE_LANE_BYTES)).unwrap();
    let running = tokio::spawn(reservation.run(move || {
        ended.send(()).unwrap();
        waits.recv().unwrap();
    }));
    tokio::task::spawn_blocking(move || end.recv().unwrap()).await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert!(intake.reserve(Some(LARGE_LANE_BYTES)).is_err());
    go.send(()).unwrap();
    while intake.reserve(Some(LARGE_LANE_BYTES)).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_small_request_overtakes_large_ones() {
    let intake = Intake::new(2);
    let (go, waits) = mpsc::sync_channel::<()>(ONE_WORD);
    let large = tokio::spawn(intake.reserve(Some(MEGABYTE)).unwrap().run(move || waits.recv().unwrap()));
    assert_eq!(intake.reserve(Some(10)).unwrap().run(|| 7).await, Ok(7));
    go.send(()).unwrap();
    large.await.unwrap().unwrap();
}

#[tokio::test]
async fn work_that_panics_is_an_error_and_frees_its_place() {
    let intake = Intake::new(1);
    for _ in 0..5 {
        let broken = intake.reserve(Some(LARGE_LANE_BYTES)).unwrap().run(|| panic!("on purpose")).await;
        assert_eq!(broken, Err::<(), _>(ApiError::Internal));
    }
}
