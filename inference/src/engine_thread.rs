//! The one thread that computes: `schedule -> run -> commit`, over and over.
//!
//! Owns the scheduler, the KV cache and the model's runner. Shares no lock with anyone: requests come in over a bounded
//! inbox that is drained once a step, tokens leave over one channel per request. It detokenises nothing and knows no
//! wire.
//!
//! A reader can be as slow as it likes: its channel has room for every token that its request may get, so the thread
//! never waits for it. A reader that goes away closes its channel, and the next `schedule` is told to forget the
//! sequence.

mod handle;
mod live;

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::Instant,
};

use bedplate_engine::serving::{Chunk, KvCache, Runner, ServingModel};
use rayon::prelude::*;

pub use handle::{EngineHandle, EngineState};
use handle::{Shared, Submission};
pub use live::{Delivery, FinishReason, GeneratedToken};
use live::{Drawn, Live};

use crate::{
    block_manager::BlockManager,
    error::ApiError,
    metrics::Metrics,
    scheduler::{RequestId, Scheduler, SchedulerConfig, Step},
};

/// Sizes of an engine, all known before it starts.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Limits of a step.
    pub scheduler: SchedulerConfig,
    /// Sequences that may wait.
    pub max_queue_len: usize,
    /// Tokens of a KV cache block.
    pub block_size: usize,
    /// Blocks of the KV cache.
    pub num_blocks: usize,
    /// Threads that compute; 0 takes every core.
    pub threads: usize,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine gives no thread.
    #[error("could not start the engine's thread")]
    SpawnThread(#[source] std::io::Error),
    /// The machine does not give the threads that compute.
    #[error("could not start {threads} computing threads; lower threads in the job file")]
    BuildPool {
        /// Threads asked for; 0 stands for every core.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Starts the thread. It ends when every handle is dropped and what runs has finished.
///
/// # Errors
/// When the system gives no threads.
pub fn start(
    model: Arc<ServingModel>,
    config: EngineConfig,
    metrics: Arc<Metrics>,
) -> Result<EngineHandle, StartError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads)
        .thread_name(|index| format!("compute-{index}"))
        .build()
        .map_err(|source| StartError::BuildPool { threads: config.threads, source })?;
    let (sender, inbox) = sync_channel(config.max_queue_len);
    let shared = Arc::new(Shared::default());
    let handle = EngineHandle::new(sender, shared.clone(), config.max_queue_len);
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let engine = Engine::new(model, config, inbox, shared.clone(), metrics);
            // The engine and with it every channel is dropped inside, so whoever waits for a token learns of it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| pool.install(|| engine.run()))) {
                shared.fail();
                tracing::error!(reason = panic_message(&*panic), "the engine thread has panicked");
            }
        })
        .map_err(StartError::SpawnThread)?;
    Ok(handle)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

struct Engine {
    inbox: Receiver<Submission>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    eos_token_ids: Vec<u32>,
    vocab_size: usize,
    scheduler: Scheduler,
    live: BTreeMap<RequestId, Live>,
    next_id: RequestId,
    cache: KvCache,
    runner: Runner,
}

impl Engine {
    fn new(
        model: Arc<ServingModel>,
        config: EngineConfig,
        inbox: Receiver<Submission>,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let blocks = BlockManager::new(config.num_blocks, config.block_size);
        Self {
            inbox,
            shared,
            metrics,
            eos_token_ids: config.eos_token_ids,
            vocab_size: model.config().vocab_size,
            scheduler: Scheduler::new(config.scheduler, blocks),
            live: BTreeMap::new(),
            next_id: 0,
            cache: KvCache::new(model.config(), config.num_blocks, config.block_size),
            runner: Runner::new(model),
        }
    }

    fn run(mut self) {
        while self.admit() {
            self.forget_cancelled();
            let step = self.scheduler.schedule();
            self.book_scheduled(&step);
            // Before the tokens leave, too: a long prompt is seen to run while it does, and never after its first token.
            self.publish();
            let drawn = self.compute(&step);
            self.commit(&step, &drawn);
            self.publish();
        }
    }

    /// Takes in what has arrived; waits where there is nothing else to do. False once nothing can arrive any more.
    fn admit(&mut self) -> bool {
        if self.live.is_empty() {
            let Ok(submission) = self.inbox.recv() else { return false };
            self.add(submission);
        }
        while let Ok(submission) = self.inbox.try_recv() {
            self.add(submission);
        }
        true
    }

    fn add(&mut self, submission: Submission) {
        let id = self.next_id;
        self.next_id += 1;
        let (prompt, live) = Live::new(submission);
        self.scheduler.add(id, prompt);
        self.live.insert(id, live);
    }

    fn forget_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.live.retain(|&id, live| {
            let wanted = live.is_wanted();
            if !wanted {
                scheduler.abort(id);
            }
            wanted
        });
    }

    fn book_scheduled(&mut self, step: &Step) {
        let now = Instant::now();
        for scheduled in step.scheduled.iter().filter(|scheduled| scheduled.first) {
            let (Some(live), Some(sequence)) = (self.live.get_mut(&scheduled.id), self.scheduler.running(scheduled.id))
            else {
                continue;
            };
            live.begin(now, sequence.num_cached());
            self.metrics.prefix_lookup(sequence.tokens().len(), sequence.num_cached());
        }
        let tokens: usize = step.scheduled.iter().map(|scheduled| scheduled.num_tokens).sum();
        self.metrics.step(tokens, step.preempted.len());
    }

    /// Runs the model over the step and draws a token for each sequence that reached its end, in the step's order.
    fn compute(&mut self, step: &Step) -> BTreeMap<RequestId, Result<Drawn, ApiError>> {
        let Self { scheduler, live, cache, runner, vocab_size, .. } = self;
        let sequences = step.scheduled.iter().map(|scheduled| {
            let sequence = scheduler.running(scheduled.id).expect("what was scheduled runs until it is committed");
            (scheduled, sequence)
        });
        let sequences: Vec<_> = sequences.collect();
        let chunks: Vec<Chunk<'_>> = sequences
            .iter()
            .map(|(scheduled, sequence)| Chunk {
                tokens: &sequence.tokens()[scheduled.start..scheduled.start + scheduled.num_tokens],
                start: scheduled.start,
                block_table: sequence.block_table().blocks(),
                wants_logits: scheduled.samples,
            })
            .collect();
        if chunks.is_empty() {
            return BTreeMap::new();
        }
        let logits = runner.forward(cache, &chunks);
        let sampling: Vec<_> = sequences.iter().filter(|(scheduled, _)| scheduled.samples).collect();
        logits
            .par_chunks(*vocab_size)
            .zip(sampling)
            .map(|(row, (scheduled, sequence))| (scheduled.id, live[&scheduled.id].draw(row, sequence.tokens())))
            .collect()
    }

    /// Hands out the tokens of a step and ends what is finished.
    fn commit(&mut self, step: &Step, drawn: &BTreeMap<RequestId, Result<Drawn, ApiError>>) {
        let Self { scheduler, live, metrics, eos_token_ids, .. } = self;
        scheduler.commit(step, |id| {
            let (drawn, request) = (drawn.get(&id)?, live.get_mut(&id)?);
            if request.num_generated() == 0 {
                metrics.prompt_computed(request.prompt_len());
            }
            let drawn = match drawn {
                Ok(drawn) => drawn,
                Err(error) => {
                    if *error == ApiError::NotFinite {
                        tracing::error!(request = id, "the model computes NaN or infinite logits; the request ends");
                        metrics.corrupted();
                    }
                    request.fail(error.clone());
                    live.remove(&id);
                    return None;
                }
            };
            metrics.generated_token();
            let finish = request.deliver(drawn, eos_token_ids.contains(&drawn.token));
            if finish.is_some() {
                live.remove(&id);
                return None;
            }
            Some(drawn.token)
        });
    }

    fn publish(&self) {
        let waiting_again = self.live.values().filter(|live| live.has_begun()).count() - self.scheduler.num_running();
        self.shared.publish(EngineState {
            num_running: self.scheduler.num_running(),
            num_preempted: waiting_again,
            kv_cache_usage: self.scheduler.usage(),
        });
    }
}
