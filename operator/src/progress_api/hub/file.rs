//! One progress file of a resource on its way into the history: where it stands, and what waits for Postgres.
//!
//! Owns which attempt a line belongs to. What is written twice is the same row, so that a piece that failed half-way is
//! simply written again.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent};
use uuid::Uuid;

use super::{
    Described,
    events::{self, Numbered},
};
use crate::store::{Direction, NewAttempt, Outcome, RunKey, Store, StoreError, timestamp};

/// Events of all resources that may wait for Postgres in memory, some 20 MiB; beyond it the pods' files are the spool.
const MAX_SPOOLED: usize = 50_000;
/// Pause after Postgres has failed: long enough not to hold up every report, short enough to be back at once.
const OUTAGE_PAUSE: Duration = Duration::from_secs(3);

/// The room for events that wait, shared by all resources.
#[derive(Debug, Default)]
pub(super) struct Spool {
    events: AtomicUsize,
    paused_until: Mutex<Option<Instant>>,
}

impl Spool {
    /// Events that wait.
    pub(super) fn len(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// Whether Postgres is left alone for a moment.
    pub(super) fn is_paused(&self) -> bool {
        let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn pause(&self) {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + OUTAGE_PAUSE);
    }
}

/// One progress file.
#[derive(Debug)]
pub(super) struct File {
    name: String,
    attempt: Option<Attempt>,
    /// The line to go on from, as the pod is told.
    next_line: u64,
    /// Lines that the snapshot has: those before this one.
    pub folded: u64,
    pending: Vec<Numbered>,
    /// Whether lines have been taken that the history does not know of.
    is_behind: bool,
}

/// The attempt that the last line belongs to.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: Uuid,
    ended: bool,
}

impl File {
    /// A file as the history knows it; without a history, or while it is away, from its beginning.
    pub(super) async fn open(name: &str, uid: &str, store: Option<&Store>) -> Self {
        let (name, pending) = (name.to_owned(), Vec::new());
        let mut file = Self { name, attempt: None, next_line: 0, folded: 0, pending, is_behind: false };
        if let Some(store) = store {
            match store.attempt_last(uid, &file.name).await {
                Ok(Some(last)) => {
                    file.attempt = Some(Attempt { id: last.id, ended: last.ended });
                    (file.next_line, file.folded) = (last.progress_offset, last.progress_offset);
                }
                Ok(None) => {}
                Err(error) => warn(&error, "could not look up a progress file; it is read from its beginning"),
            }
        }
        file
    }

    /// The line to go on from.
    pub(super) fn next_line(&self) -> u64 {
        self.next_line
    }

    /// Whether nothing waits.
    pub(super) fn is_drained(&self) -> bool {
        !self.is_behind
    }

    /// Takes events without a history.
    pub(super) fn accept(&mut self, end: u64) {
        self.next_line = end;
    }

    /// Takes events, the lines of which end before `end`: writes them, or keeps them if there is room, or leaves them.
    pub(super) async fn take(
        &mut self,
        fresh: Vec<Numbered>,
        end: u64,
        described: &Described,
        store: Option<&Store>,
        spool: &Spool,
    ) {
        let (count, before, was_behind) = (fresh.len(), self.next_line, self.is_behind);
        spool.events.fetch_add(count, Ordering::Relaxed);
        self.pending.extend(fresh);
        (self.next_line, self.is_behind) = (end, true);
        self.drain(described, store, spool).await;
        if self.is_behind && spool.len() > MAX_SPOOLED {
            self.pending.truncate(self.pending.len() - count);
            spool.events.fetch_sub(count, Ordering::Relaxed);
            (self.next_line, self.is_behind) = (before, was_behind);
        }
    }

    /// Writes what waits, if Postgres is there.
    pub(super) async fn drain(&mut self, described: &Described, store: Option<&Store>, spool: &Spool) {
        let Some(store) = store.filter(|_| self.is_behind && !spool.is_paused()) else { return };
        let waiting = self.pending.len();
        match self.write(described, store).await {
            Ok(attempt) => self.attempt = attempt,
            Err(error @ StoreError::UnknownAttempt { .. }) => {
                warn(&error, "the history was emptied; the progress file is read from its beginning");
                (self.attempt, self.next_line) = (None, 0);
            }
            Err(error) if error.is_rejection() => warn(&error, "left something out of the history"),
            Err(error) => {
                warn(&error, "the history is away; progress waits for it");
                spool.pause();
                return;
            }
        }
        self.pending.clear();
        self.is_behind = false;
        spool.events.fetch_sub(waiting, Ordering::Relaxed);
    }

    /// Gives the room of what waits back: the file is let go.
    pub(super) fn abandon(self, spool: &Spool) {
        spool.events.fetch_sub(self.pending.len(), Ordering::Relaxed);
    }

    /// Writes everything that waits and returns the attempt that the last line belongs to.
    async fn write(&self, described: &Described, store: &Store) -> Result<Option<Attempt>, StoreError> {
        let mut attempt = self.attempt;
        let pieces = events::attempts(&self.pending);
        for (index, piece) in pieces.iter().enumerate() {
            let Some(first) = piece.first() else { continue };
            let end = pieces.get(index + 1).and_then(|next| next.first()).map_or(self.next_line, |next| next.line);
            let is_start = matches!(first.event.body, ProgressBody::Started { .. });
            let id = match attempt {
                Some(known) if !is_start => known.id,
                before => self.begin(first, before, described, store).await?,
            };
            let bodies: Vec<ProgressEvent> = piece.iter().map(|numbered| numbered.event.clone()).collect();
            store.progress_insert_accepted(id, &bodies, (first.line, end)).await?;
            let told = events::end(piece);
            if let Some((seconds, exit_code)) = told {
                let (at, exit_code) = (timestamp(seconds), Some(exit_code));
                store.attempt_end(id, Outcome::Ended { at, exit_code }).await?;
            }
            attempt = Some(Attempt { id, ended: told.is_some() });
        }
        if let (true, Some(known)) = (self.pending.is_empty(), attempt) {
            // Lines that are no events: only how far the file is read has changed.
            store.progress_insert(known.id, &[], self.next_line).await?;
        }
        Ok(attempt)
    }

    /// Writes that an attempt begins; one before it that never told its end is lost.
    async fn begin(
        &self,
        first: &Numbered,
        before: Option<Attempt>,
        described: &Described,
        store: &Store,
    ) -> Result<Uuid, StoreError> {
        let new = NewAttempt {
            run: RunKey { origin: described.uid.clone(), resource: described.key.clone() },
            started_at: timestamp(first.event.time_seconds),
            spec: described.spec.clone(),
            job: described.job.clone(),
            progress_file: self.name.clone(),
            progress_offset: first.line,
        };
        if let Some(before) = before.filter(|before| !before.ended && before.id != new.id()) {
            store.attempt_end(before.id, Outcome::Lost).await?;
        }
        let id = store.attempt_insert(&new).await?;
        for input in &described.inputs {
            store.lineage_edge_accepted(id, Direction::Input, input, new.started_at).await?;
        }
        Ok(id)
    }
}

fn warn(error: &StoreError, what: &str) {
    tracing::warn!(error = %bedplate_telemetry::chain::Chain(error), "{what}");
}
