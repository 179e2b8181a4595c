//! What one reconcile leaves for the next: when a failing resource may be tried again, and what was refused for good.
//!
//! Owns the back-off: exponential with jitter, one for each resource, so that a broken one costs a constant and no other waits
//! for it. Lost at a restart, and then one more attempt is all that it costs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::runtime::watcher::DefaultBackoff;

use crate::{cluster::observed::ChildRefused, resource::ResourceKey};

/// What is known of resources from earlier reconciles.
#[derive(Default)]
pub struct Memory {
    failing: Mutex<HashMap<ResourceKey, Failing>>,
    refusals: Mutex<HashMap<ResourceKey, Refusal>>,
    children: Mutex<HashMap<ResourceKey, ChildRefused>>,
}

struct Failing {
    /// client-go's: from 0.8 s to 30 s, doubled each time, with jitter, reset by two quiet minutes.
    backoff: DefaultBackoff,
    until: Instant,
    generation: Option<i64>,
}

struct Refusal {
    job: String,
    message: String,
}

impl Memory {
    /// How long the resource is still to be left alone. A new spec is looked at immediately.
    pub fn wait(&self, key: &ResourceKey, generation: Option<i64>) -> Option<Duration> {
        let failing = lock(&self.failing);
        let failing = failing.get(key).filter(|failing| failing.generation == generation)?;
        let wait = failing.until.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Notes a failure and says when to try again.
    pub fn failed(&self, key: &ResourceKey, generation: Option<i64>) -> Duration {
        let mut failing = lock(&self.failing);
        let entry = failing.entry(key.clone()).or_insert_with(|| Failing {
            backoff: DefaultBackoff::default(),
            until: Instant::now(),
            generation,
        });
        if entry.generation != generation {
            (entry.backoff, entry.generation) = (DefaultBackoff::default(), generation);
        }
        let wait = entry.backoff.next().unwrap_or(LONGEST_WAIT);
        entry.until = Instant::now() + wait;
        wait
    }

    /// Notes that a reconcile reached its end.
    pub fn succeeded(&self, key: &ResourceKey) {
        lock(&self.failing).remove(key);
    }

    /// Notes that a Job was refused for good.
    pub fn refused(&self, key: &ResourceKey, job: &str, message: String) {
        lock(&self.refusals).insert(key.clone(), Refusal { job: job.to_owned(), message });
    }

    /// Why that Job was refused for good, if it was.
    pub fn refusal(&self, key: &ResourceKey, job: &str) -> Option<String> {
        lock(&self.refusals).get(key).filter(|refusal| refusal.job == job).map(|refusal| refusal.message.clone())
    }

    /// Notes that a child was refused, for the status to tell.
    pub fn child_refused(&self, key: &ResourceKey, refused: ChildRefused) {
        lock(&self.children).insert(key.clone(), refused);
    }

    /// Notes that every child was taken.
    pub fn children_taken(&self, key: &ResourceKey) {
        lock(&self.children).remove(key);
    }

    /// The child that was refused at the last attempt.
    pub fn refused_child(&self, key: &ResourceKey) -> Option<ChildRefused> {
        lock(&self.children).get(key).cloned()
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, key: &ResourceKey) {
        lock(&self.failing).remove(key);
        lock(&self.refusals).remove(key);
        lock(&self.children).remove(key);
    }
}

/// What the back-off ends at, should it ever have no next step.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A thread that panicked while it held the lock left whole entries.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    fn key() -> ResourceKey {
        ResourceKey { kind: Kind::Dataset, namespace: "n".to_owned(), name: "d".to_owned() }
    }

    #[test]
    fn a_failing_resource_waits_longer_each_time_but_never_longer_than_a_minute() {
        let memory = Memory::default();
        let waits: Vec<Duration> = (0..12).map(|_| memory.failed(&key(), Some(1))).collect();
        assert!(waits[0] < Duration::from_secs(2), "{waits:?}");
        assert!(waits[11] >= Duration::from_secs(30), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(60)), "{waits:?}");
    }

    #[test]
    fn a_new_spec_is_looked_at_immediately() {
        let memory = Memory::default();
        memory.failed(&key(), Some(1));
        assert!(memory.wait(&key(), Some(1)).is_some());
        assert!(memory.wait(&key(), Some(2)).is_none());
    }

    #[test]
    fn a_success_ends_the_wait() {
        let memory = Memory::default();
        memory.failed(&key(), None);
        memory.succeeded(&key());
        assert!(memory.wait(&key(), None).is_none());
    }
}
