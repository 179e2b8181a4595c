//! Properties of the scheduler under random arrivals, lengths, limits and aborts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BLOCK_SIZE: usize = 4;

#[derive(Clone, Debug)]
struct Request {
    arrives_at: usize,
    prompt: Vec<u32>,
    answer: usize,
    aborted_at: Option<usize>,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request =
        (0_usize..20, prop::collection::vec(0_u32..3, 1..20), 1_usize..12, prop::option::weighted(0.2, 0_usize..40));
    prop::collection::vec(request, 1..16).prop_map(|drawn| {
        let mut requests: Vec<Request> = drawn
            .into_iter()
            .map(|(arrives_at, prompt, answer, aborted_at)| Request { arrives_at, prompt, answer, aborted_at })
            .collect();
        requests.sort_by_key(|request| request.arrives_at);
        requests
    })
}

/// What a sequence's tokens must become, whatever was preempted in between: token `i` of the answer is `100 + i`.
fn next_token(request: &Request, len: usize) -> Option<u32> {
    let sampled = len - request.prompt.len() + 1;
    (sampled < request.answer).then_some(100 + sampled as u32)
}

proptest! {
    #[test]
    fn everything_ends_in_order_within_the_limits(
        requests in requests(),
        max_num_seqs in 1_usize..6,
        max_num_batched_tokens in 1_usize..24,
        spare_blocks in 0_usize..8,
    ) {
        let longest = requests.iter().map(|request| request.prompt.len() + request.answer).max().unwrap();
        let num_blocks = longest.div_ceil(BLOCK_SIZE) + spare_blocks;
        let config = SchedulerConfig { max_num_seqs, max_num_batched_tokens };
        let mut scheduler = Scheduler::new(config, BlockManager::new(num_blocks, BLOCK_SIZE));
        let mut first_runs = Vec::new();
        let mut ended = BTreeMap::new();
        let mut tick = 0;
        loop {
            for (id, request) in requests.iter().enumerate() {
                if request.arrives_at == tick {
                    scheduler.add(id as RequestId, request.prompt.clone());
                }
                if request.aborted_at == Some(tick) && request.arrives_at <= tick && !ended.contains_key(&(id as RequestId)) {
                    scheduler.abort(id as RequestId);
                    ended.insert(id as RequestId, None);
                }
            }
            let step = scheduler.schedule();
            let total: usize = step.scheduled.iter().map(|scheduled| scheduled.num_tokens).sum();
            prop_assert!(total <= max_num_batched_tokens);
            prop_assert!(scheduler.num_running() <= max_num_seqs);
            prop_assert!(step.scheduled.is_sorted_by_key(|scheduled| scheduled.id));
            let busy = scheduler.num_running() + scheduler.num_waiting() > 0;
            prop_assert!(!busy || !step.scheduled.is_empty(), "a step with work to do must do some");
            for scheduled in &step.scheduled {
                prop_assert!(scheduled.num_tokens > 0);
                let sequence = scheduler.running(scheduled.id).expect("what is scheduled runs");
                let end = scheduled.start + scheduled.num_tokens;
                prop_assert!(end <= sequence.block_table().blocks().len() * BLOCK_SIZE);
                prop_assert_eq!(scheduled.samples, end == sequence.tokens().len());
                if scheduled.first {
                    first_runs.push(scheduled.id);
                }
            }
            let lengths: BTreeMap<RequestId, usize> = step
                .scheduled
                .iter()
                .map(|scheduled| (scheduled.id, scheduler.running(scheduled.id).unwrap().tokens().len()))
                .collect();
            scheduler.commit(&step, |id| {
                let token = next_token(&requests[id as usize], lengths[&id]);
                if token.is_none() {
                    ended.insert(id, Some(lengths[&id] + 1 - requests[id as usize].prompt.len()));
                }
                token
            });
            tick += 1;
            if ended.len() == requests.len() {
                break;
            }
            prop_assert!(tick < 5000, "the requests never end");
        }
        prop_assert!(first_runs.is_sorted(), "first come, first served: {:?}", first_runs);
        for (id, length) in ended {
            if let Some(length) = length {
                prop_assert_eq!(length, requests[id as usize].answer);
            }
        }
        prop_assert_eq!((scheduler.num_running(), scheduler.num_waiting(), scheduler.usage()), (0, 0, 0.0));
    }
}

fn scheduler(max_num_seqs: usize, max_num_batched_tokens: usize, num_blocks: usize) -> Scheduler {
    Scheduler::new(SchedulerConfig { max_num_seqs, max_num_batched_tokens }, BlockManager::new(num_blocks, BLOCK_SIZE))
}

#[test]
fn a_long_prompt_is_cut_and_shares_the_step_with_decodes() {
    let mut scheduler = scheduler(4, 6, 16);
    scheduler.add(1, vec![1, 2]);
    let step = scheduler.schedule();
    scheduler.commit(&step, |_| Some(7));
    scheduler.add(2, vec![5; 9]);
    let step = scheduler.schedule();
    assert_eq!(step.scheduled[0], Scheduled { id: 1, start: 2, num_tokens: 1, samples: true, first: false });
    assert_eq!(step.scheduled[1], Scheduled { id: 2, start: 0, num_tokens: 5, samples: false, first: true });
    scheduler.commit(&step, |_| Some(8));
    let step = scheduler.schedule();
    assert_eq!(step.scheduled[1], Scheduled { id: 2, start: 5, num_tokens: 4, samples: true, first: false });
}

#[test]
fn the_youngest_gives_way_and_runs_again_before_those_behind_it() {
    let mut scheduler = scheduler(4, 64, 3);
    scheduler.add(1, vec![1; 4]);
    scheduler.add(2, vec![2; 4]);
    scheduler.add(3, vec![3; 8]);
    let step = scheduler.schedule();
    assert_eq!(step.scheduled.iter().map(|scheduled| scheduled.id).collect::<Vec<_>>(), [1, 2]);
    scheduler.commit(&step, |_| Some(9));
    let step = scheduler.schedule();
    assert_eq!((step.scheduled.len(), step.preempted.as_slice()), (1, [2].as_slice()));
    scheduler.commit(&step, |_| None);
    let step = scheduler.schedule();
    assert_eq!(step.scheduled[0].id, 2);
    assert_eq!(scheduler.running(2).unwrap().num_preemptions(), 1);
    assert_eq!(scheduler.running(2).unwrap().tokens(), [2, 2, 2, 2, 9]);
}
