//! Carries journal and progress files over into Postgres: the same code now, when Postgres is back, and at the next start.
//!
//! Owns how far each attempt is carried over. After an error it is thrown away and begun anew from what Postgres has; a row
//! that is written twice is the same row.

use std::collections::HashMap;

use bedplate_operator::{
    resource::Kind,
    store::{Artefact, Direction, Outcome, Store},
};
use uuid::Uuid;

use super::{
    HistoryError,
    journal::{Begin, End, Entry, Journal, Link},
    session, stored, tail,
};

/// The state of the transfer.
#[derive(Debug)]
pub(super) struct Sync {
    journal: Journal,
    /// Our own session: its attempts end only when we say so.
    session: Uuid,
    journal_offset: u64,
    attempts: Vec<Transfer>,
    by_id: HashMap<Uuid, usize>,
    positions_read: bool,
}

/// How far one attempt is carried over.
#[derive(Debug)]
struct Transfer {
    id: Uuid,
    kind: Kind,
    begin: Begin,
    links: Vec<Link>,
    end: Option<End>,
    /// Offset in the progress file up to which Postgres has it; none before it has the attempt at all.
    stored: Option<u64>,
    done: bool,
}

impl Sync {
    pub(super) fn new(journal: Journal, session: Uuid) -> Self {
        let (attempts, by_id) = (Vec::new(), HashMap::new());
        Self { journal, session, journal_offset: 0, attempts, by_id, positions_read: false }
    }

    /// Carries over everything that is there by now.
    pub(super) async fn pass(&mut self, store: &Store) -> Result<(), HistoryError> {
        let (entries, offset) = self.journal.read_from(self.journal_offset)?;
        entries.into_iter().for_each(|entry| self.enter(entry));
        self.journal_offset = offset;
        if !self.positions_read {
            for position in store.attempt_positions(&self.journal.origin().to_string()).await? {
                if let Some(index) = self.by_id.get(&position.id) {
                    let attempt = &mut self.attempts[*index];
                    (attempt.stored, attempt.done) = (Some(position.progress_offset), position.ended);
                }
            }
            self.positions_read = true;
        }
        for index in 0..self.attempts.len() {
            if !self.attempts[index].done {
                self.carry_over(index, store).await?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Begin(begin) => {
                let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == begin.kind) else { return };
                let id = stored(&begin, kind, &self.journal).id();
                self.by_id.insert(id, self.attempts.len());
                let (links, end, stored) = (Vec::new(), None, None);
                self.attempts.push(Transfer { id, kind, begin, links, end, stored, done: false });
            }
            Entry::Link(link) => {
                if let Some(attempt) = self.by_id.get(&link.attempt).map(|index| &mut self.attempts[*index]) {
                    attempt.links.push(link);
                }
            }
            Entry::End(end) => {
                if let Some(attempt) = self.by_id.get(&end.attempt).map(|index| &mut self.attempts[*index]) {
                    attempt.end = Some(end);
                }
            }
        }
    }

    async fn carry_over(&mut self, index: usize, store: &Store) -> Result<(), HistoryError> {
        // Asked before the progress is read: whatever an ended process wrote is then in the file.
        let outcome = self.outcome(index);
        let limit = self.limit(index);
        let attempt = &mut self.attempts[index];
        let mut offset = match attempt.stored {
            Some(offset) => offset,
            None => {
                store.attempt_insert(&stored(&attempt.begin, attempt.kind, &self.journal)).await?;
                attempt.begin.progress_offset
            }
        };
        for link in attempt.links.drain(..) {
            let Link { attempt, artefact: kind, digest, uri, at } = link;
            let artefact = Artefact { kind, digest, uri: Some(uri), size_bytes: None };
            store.lineage_edge_accepted(attempt, Direction::Input, &artefact, at).await?;
        }
        let path = attempt.begin.progress_file.clone();
        let failed = |source| HistoryError::ReadProgress { path: path.clone(), source };
        while let Some(batch) = tail::read(&path, offset, limit).map_err(failed)? {
            store.progress_insert_accepted(attempt.id, &batch.events, (offset, batch.end)).await?;
            offset = batch.end;
        }
        attempt.stored = Some(offset);
        if let Some(outcome) = outcome {
            store.attempt_end(attempt.id, outcome).await?;
            attempt.done = true;
        }
        Ok(())
    }

    fn outcome(&self, index: usize) -> Option<Outcome> {
        let attempt = &self.attempts[index];
        match &attempt.end {
            Some(End { attempt: _, ended_at, exit_code }) => {
                Some(Outcome::Ended { at: *ended_at, exit_code: *exit_code })
            }
            None if attempt.begin.session == self.session => None,
            None if session::is_alive(self.journal.dir(), attempt.begin.session) => None,
            None => Some(Outcome::Lost),
        }
    }

    /// Where the next attempt's lines begin. If they begin before this one's, the file was replaced and holds nothing of it.
    fn limit(&self, index: usize) -> Option<u64> {
        let Begin { progress_file, progress_offset, .. } = &self.attempts[index].begin;
        let next = self.attempts[index + 1..].iter().find(|later| later.begin.progress_file == *progress_file)?;
        Some(if next.begin.progress_offset < *progress_offset { 0 } else { next.begin.progress_offset })
    }
}
