//! Bounds what requests cost before they reach the engine: the bytes they hold, and the threads that parse, render and
//! tokenise them.
//!
//! None of that work runs on the threads that answer probes and write streams. Large requests and small ones have room
//! and threads of their own, so that a prompt of megabytes keeps no question of a line waiting. Knows no wire.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

use crate::error::ApiError;

#[cfg(test)]
mod tests;

/// Largest request that counts as small: its parsing and tokenising take milliseconds.
const SMALL_REQUEST_BYTES: usize = 64 << 10;
/// Bytes that small requests may hold together.
const SMALL_LANE_BYTES: usize = 16 << 20;
/// Bytes that large requests may hold together: four of the largest that are read. Parsed, a request takes up to sixteen
/// times its bytes (a list of one-digit token ids), but only in as many places as there are threads for it.
const LARGE_LANE_BYTES: usize = 64 << 20;
/// What a request counts at least, which bounds how many there are.
const LEAST_BYTES: usize = 16 << 10;
/// Most threads for large requests. Each may hold a gigabyte while it tokenises.
const MAX_LARGE_WORKERS: usize = 4;

/// The way in for every request.
#[derive(Debug)]
pub struct Intake {
    small: Lane,
    large: Lane,
}

/// Room and threads for requests of one kind.
#[derive(Clone, Debug)]
struct Lane {
    room: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    most_bytes: usize,
}

impl Intake {
    /// An intake for a machine of `cores`; half of them may work on large requests at a time.
    pub fn new(cores: usize) -> Self {
        Self {
            small: Lane::new(SMALL_LANE_BYTES, cores.max(1)),
            large: Lane::new(LARGE_LANE_BYTES, (cores / 2).clamp(1, MAX_LARGE_WORKERS)),
        }
    }

    /// Room for a request of `bytes`; none stands for a length that is not known yet, see [`Reservation::hold`].
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve(&self, bytes: Option<usize>) -> Result<Reservation, ApiError> {
        let lane = if bytes.is_some_and(|bytes| bytes <= SMALL_REQUEST_BYTES) { &self.small } else { &self.large };
        let held = lane.take(bytes.unwrap_or(0).max(LEAST_BYTES))?;
        Ok(Reservation { held, lane: lane.clone() })
    }

    /// Runs `work` for a request that has been let in already, such as writing a large answer as JSON.
    ///
    /// # Errors
    /// When it panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        self.small.run(work).await
    }
}

impl Lane {
    fn new(most_bytes: usize, workers: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(most_bytes)), workers: Arc::new(Semaphore::new(workers)), most_bytes }
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let full = ApiError::IntakeFull { most_bytes: self.most_bytes };
        let Ok(permits) = u32::try_from(bytes) else { return Err(full) };
        self.room.clone().try_acquire_many_owned(permits).map_err(|_| full)
    }

    /// Runs `work` on a thread that may block, once one of the lane's is free.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let worker = self.workers.clone().acquire_owned().await.expect("the semaphore is never closed");
        let span = Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _worker = worker;
            span.in_scope(work)
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "handling a request has panicked");
            ApiError::Internal
        })
    }
}

/// Room that a request holds until its work is done.
#[derive(Debug)]
pub struct Reservation {
    held: OwnedSemaphorePermit,
    lane: Lane,
}

impl Reservation {
    /// Makes it `bytes` large, if it is smaller.
    ///
    /// # Errors
    /// When there is no room for the rest.
    pub fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        let missing = bytes.saturating_sub(self.held.num_permits());
        self.held.merge(self.lane.take(missing)?);
        Ok(())
    }

    /// Runs `work` where it may take its time, in turn with the others of its kind. The room is free again after it, even
    /// if nobody waits for it any more.
    ///
    /// # Errors
    /// When it panics.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let Self { held, lane } = self;
        lane.run(move || {
            let done = work();
            drop(held);
            done
        })
        .await
    }
}
