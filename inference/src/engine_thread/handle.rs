//! The near end of the engine's inbox, and the few figures that the engine thread lets others see.
//!
//! Owns the count of waiting sequences, which is what "the queue is full" means: a sequence waits from `submit` until it
//! is scheduled for the first time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    mpsc::{SyncSender, TrySendError},
};

use tokio::sync::mpsc;

use super::live::Delivery;
use crate::{error::ApiError, request::GenerateRequest};

/// Figures of the engine after its last step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineState {
    /// Sequences that hold blocks.
    pub num_running: usize,
    /// Sequences that lost their blocks and wait again.
    pub num_preempted: usize,
    /// Share of the blocks that are held, 0 to 1.
    pub kv_cache_usage: f64,
}

/// What the engine thread and the handles both see. Single numbers only, so nobody ever waits for anybody.
#[derive(Debug, Default)]
pub(super) struct Shared {
    failed: AtomicBool,
    waiting: AtomicUsize,
    num_running: AtomicUsize,
    num_preempted: AtomicUsize,
    kv_cache_usage_bits: AtomicU64,
}

impl Shared {
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.publish(EngineState::default());
    }

    pub(super) fn publish(&self, state: EngineState) {
        let EngineState { num_running, num_preempted, kv_cache_usage } = state;
        self.num_running.store(num_running, Ordering::Relaxed);
        self.num_preempted.store(num_preempted, Ordering::Relaxed);
        self.kv_cache_usage_bits.store(kv_cache_usage.to_bits(), Ordering::Relaxed);
    }
}

/// One place in the queue; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct QueueSlot(Arc<Shared>);

impl QueueSlot {
    fn take(shared: &Arc<Shared>, max_queue_len: usize) -> Option<Self> {
        let more = |waiting| (waiting < max_queue_len).then_some(waiting + 1);
        shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(shared.clone()))
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request on its way to the engine.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) request: GenerateRequest,
    pub(super) slot: QueueSlot,
    pub(super) tokens: mpsc::Sender<Delivery>,
}

/// Hands requests to the engine thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    inbox: SyncSender<Submission>,
    shared: Arc<Shared>,
    max_queue_len: usize,
}

impl EngineHandle {
    pub(super) fn new(inbox: SyncSender<Submission>, shared: Arc<Shared>, max_queue_len: usize) -> Self {
        Self { inbox, shared, max_queue_len }
    }

    /// Puts a request into the queue. Its tokens arrive on the channel; dropping the channel ends it.
    ///
    /// # Errors
    /// When the queue is full or the engine is gone.
    pub fn submit(&self, request: GenerateRequest) -> Result<mpsc::Receiver<Delivery>, ApiError> {
        let full = || ApiError::QueueFull { max_queue_len: self.max_queue_len };
        if self.has_failed() {
            return Err(ApiError::EngineFailed);
        }
        let slot = QueueSlot::take(&self.shared, self.max_queue_len).ok_or_else(full)?;
        // Room for every token it can get, so that the engine never waits for its reader. The channel takes memory only
        // as it fills.
        let (tokens, receiver) = mpsc::channel(request.max_tokens);
        match self.inbox.try_send(Submission { request, slot, tokens }) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(full()),
            Err(TrySendError::Disconnected(_)) => Err(ApiError::EngineFailed),
        }
    }

    /// Whether the engine thread has panicked.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Sequences that wait, those included that lost their blocks.
    pub fn num_waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire) + self.state().num_preempted
    }

    /// Figures after the last step.
    pub fn state(&self) -> EngineState {
        EngineState {
            num_running: self.shared.num_running.load(Ordering::Relaxed),
            num_preempted: self.shared.num_preempted.load(Ordering::Relaxed),
            kv_cache_usage: f64::from_bits(self.shared.kv_cache_usage_bits.load(Ordering::Relaxed)),
        }
    }
}
