//! Sums over 1, 2, 4 and 8 ranks are those of the written-out tree, bit for bit, over channels and over TCP.

use std::{
    net::{TcpListener, TcpStream},
    thread,
};

use super::*;

/// Values whose sum depends on the order of the additions.
fn leaf(rank: usize, len: usize) -> Vec<f32> {
    let value = |index: usize| {
        let hash = (index * 31 + rank * 7919 + 1).wrapping_mul(2_654_435_761) % 100_003;
        (hash as f32 / 50_000.0 - 1.0) * 10f32.powi((hash % 7) as i32 - 3)
    };
    (0..len).map(value).collect()
}

fn tree(leaves: &[Vec<f32>]) -> Vec<f32> {
    match leaves {
        [only] => only.clone(),
        _ => {
            let (lower, upper) = leaves.split_at(leaves.len() / 2);
            tree(lower).iter().zip(tree(upper)).map(|(lower, upper)| lower + upper).collect()
        }
    }
}

/// Connected sockets of every rank, in the order of the bits.
fn tcp_ranks(world_size: usize) -> Vec<Tcp> {
    let mut links: Vec<Vec<TcpLink>> = (0..world_size).map(|_| Vec::new()).collect();
    for bit in 0..world_size.ilog2() {
        for lower in (0..world_size).filter(|rank| rank >> bit & 1 == 0) {
            let upper = lower | 1 << bit;
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (far, _) = listener.accept().unwrap();
            links[lower].push(TcpLink::new(upper, near).unwrap());
            links[upper].push(TcpLink::new(lower, far).unwrap());
        }
    }
    links.into_iter().enumerate().map(|(rank, links)| Hypercube::new(rank, world_size, links).unwrap()).collect()
}

/// Runs `work` on every rank at once and returns what each came to.
fn on_each<C: Collective, R: Send>(ranks: Vec<C>, work: impl Fn(&mut C) -> R + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = ranks.into_iter().map(|mut rank| scope.spawn(move || work(&mut rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn sums_follow_the_tree<C: Collective>(ranks: impl Fn(usize) -> Vec<C>) {
    for world_size in [1, 2, 4, 8] {
        for len in [0, 1, 7, 1000, 300_001] {
            let leaves: Vec<_> = (0..world_size).map(|rank| leaf(rank, len)).collect();
            let wanted: Vec<u32> = tree(&leaves).iter().map(|value| value.to_bits()).collect();
            let sums = on_each(ranks(world_size), |rank| {
                let mut values = leaf(rank.rank(), len);
                rank.all_reduce_sum(&mut values).unwrap();
                values
            });
            for (rank, sum) in sums.iter().enumerate() {
                let bits: Vec<u32> = sum.iter().map(|value| value.to_bits()).collect();
                assert!(bits == wanted, "rank {rank} of {world_size}, {len} elements");
            }
        }
    }
}

#[test]
fn threads_sum_in_the_tree_of_their_ranks() {
    sums_follow_the_tree(|world_size| local_ranks(world_size).unwrap());
}

#[test]
fn processes_sum_in_the_tree_of_their_ranks() {
    sums_follow_the_tree(tcp_ranks);
}

#[test]
fn every_rank_gets_what_rank_0_sends() {
    for world_size in [1, 2, 4, 8] {
        let received = on_each(tcp_ranks(world_size), |rank| {
            let mut bytes: Vec<u8> = (0..100_001).map(|index| (index * (rank.rank() + 1) % 251) as u8).collect();
            rank.broadcast(&mut bytes).unwrap();
            rank.barrier().unwrap();
            bytes
        });
        let wanted: Vec<u8> = (0..100_001).map(|index| (index % 251) as u8).collect();
        assert!(received.iter().all(|bytes| *bytes == wanted), "{world_size} ranks");
    }
}

#[test]
fn whole_numbers_are_counted_exactly() {
    let counts = on_each(local_ranks(8).unwrap(), |rank| {
        let mut counts = [(1_u64 << 49) as f64 + rank.rank() as f64, 1.0];
        rank.all_reduce_sum_f64(&mut counts).unwrap();
        counts
    });
    assert!(counts.iter().all(|count| *count == [((1_u64 << 52) + 28) as f64, 8.0]));
}

#[test]
fn a_rank_that_goes_away_is_named_by_every_neighbour_and_ends_the_others_too() {
    let results = on_each(tcp_ranks(4), |rank| {
        if rank.rank() == 3 {
            return None;
        }
        // Rank 0 is no neighbour of rank 3: it ends because ranks 1 and 2 do.
        let result = rank.all_reduce_sum(&mut vec![1.0; 4_000_000]);
        Some(result.unwrap_err().to_string())
    });
    assert_eq!(results[3], None);
    for (rank, message) in results[..3].iter().enumerate() {
        let message = message.as_ref().unwrap();
        assert!(message.starts_with("lost rank "), "rank {rank}: {message}");
    }
    assert!(results[2].as_ref().unwrap().contains("lost rank 3"), "{:?}", results[2]);
}

#[test]
fn ranks_at_different_operations_notice() {
    let results = on_each(tcp_ranks(2), |rank| rank.all_reduce_sum(&mut vec![1.0; 10 + 10 * rank.rank()]));
    let message = results[0].as_ref().unwrap_err().to_string();
    assert!(message.starts_with("rank 1 sent 40 bytes where 20 were due"), "{message}");
    assert!(results.iter().all(Result::is_err));
}

#[test]
fn three_ranks_are_refused() {
    let message = local_ranks(3).unwrap_err().to_string();
    assert!(message.contains("1, 2, 4 or 8 ranks"), "{message}");
}
