//! How often something remote is tried again, and how long between.

use std::time::{Duration, Instant};

use bedplate_crds::uri::ShownUri;

use super::RemoteError;
use crate::stop::Stop;

/// Failures in a row, without progress worth speaking of, before giving up: with the pauses below some 25 seconds, enough
/// for a server's restart, short enough for whoever waits for the error.
const MAX_RETRIES: u32 = 8;
/// First pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Bytes after which earlier failures are forgotten, so that a long file survives more breaks than a short one, but a
/// server that sends a byte at a time is given up.
const FORGIVING_BYTES: u64 = 16 << 20;
/// How often a pause looks whether the work was stopped.
const STOP_GRAIN: Duration = Duration::from_millis(50);

/// The outcome of one attempt.
pub(super) enum Attempt<T> {
    /// It worked.
    Success(T),
    /// It failed in a way that may pass.
    Again(String),
    /// It failed for good.
    Failure(RemoteError),
}

/// Counts failures.
#[derive(Debug, Default)]
pub(super) struct Retries {
    failures: u32,
    bytes: u64,
}

impl Retries {
    /// Pauses before the next attempt, or gives up.
    pub(super) fn wait(&mut self, uri: &ShownUri, reason: String, stop: &Stop) -> Result<(), RemoteError> {
        self.failures += 1;
        self.bytes = 0;
        if self.failures > MAX_RETRIES {
            return Err(RemoteError::Reach { uri: uri.clone(), attempts: self.failures, reason });
        }
        let pause = (FIRST_PAUSE * 2_u32.pow(self.failures - 1)).min(LONGEST_PAUSE);
        tracing::warn!(%uri, reason, failures = self.failures, ?pause, "trying again");
        let begin = Instant::now();
        while let Some(left) = pause.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            stop.check()?;
            std::thread::sleep(left.min(STOP_GRAIN));
        }
        Ok(stop.check()?)
    }

    /// Notes that `bytes` arrived.
    pub(super) fn progressed(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= FORGIVING_BYTES {
            self.failures = 0;
        }
    }
}
