//! One resource that may report: what it is, what is known of it, and its progress files.
//!
//! Owns the order of its reports: one after the other, whatever pod they come from.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    Described, HistorySource,
    events::parse,
    file::{File, Spool},
    live::Live,
};
use crate::{progress_api::snapshot::ProgressSnapshot, resource::ResourceKey, store::Store};

/// Progress files of one resource that are kept in mind: more pods than a ModelDeployment has in a day's roll-outs.
const MAX_FILES: usize = 256;

/// One resource.
#[derive(Debug)]
pub(super) struct Reported {
    described: Mutex<Described>,
    live: Mutex<Live>,
    files: tokio::sync::Mutex<Files>,
    leaving: AtomicBool,
}

#[derive(Debug, Default)]
struct Files {
    open: HashMap<String, File>,
    /// Whether open attempts are to be closed once everything is written.
    closing: bool,
    /// Whether nothing was reported since they were closed.
    closed: bool,
}

impl Reported {
    pub(super) fn new(described: Described) -> Self {
        let (described, live, files) = (Mutex::new(described), Mutex::default(), tokio::sync::Mutex::default());
        Self { described, live, files, leaving: AtomicBool::new(false) }
    }

    pub(super) fn describe(&self, described: Described) {
        *self.described.lock().unwrap_or_else(PoisonError::into_inner) = described;
    }

    fn described(&self) -> Described {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn key(&self) -> ResourceKey {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Option<ProgressSnapshot> {
        self.live().snapshot()
    }

    /// Whether a report may come now.
    pub(super) fn admit(&self) -> bool {
        self.live().admit(Instant::now())
    }

    /// Whether there are news that somebody has to be told of now.
    pub(super) fn is_due(&self) -> bool {
        self.live().is_due(Instant::now())
    }

    /// Takes no more reports.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The line that a file is wanted from.
    pub(super) async fn resume(&self, name: &str, history: &HistorySource, spool: &Spool) -> u64 {
        let mut files = self.files.lock().await;
        files.open(name, &self.described().uid, history, spool).await.next_line()
    }

    /// Takes lines and says which one comes next.
    pub(super) async fn report(
        &self,
        name: &str,
        (first_line, lines): (u64, &[String]),
        history: &HistorySource,
        spool: &Spool,
    ) -> u64 {
        let mut files = self.files.lock().await;
        let described = self.described();
        let file = files.open(name, &described.uid, history, spool).await;
        let end = first_line.saturating_add(lines.len() as u64);
        // Lines are missing before these, or all of these are known.
        if first_line > file.next_line() || end <= file.next_line() {
            return file.next_line();
        }
        let fresh = parse(first_line, lines, file.next_line());
        self.live().fold(fresh.iter().filter(|numbered| numbered.line >= file.folded).map(|numbered| &numbered.event));
        file.folded = file.folded.max(end);
        match history {
            HistorySource::None => file.accept(end),
            HistorySource::Store(_) => file.take(fresh, end, &described, store(history).as_ref(), spool).await,
        }
        let next_line = file.next_line();
        files.closed = false;
        next_line
    }

    /// Asks for the end of every open attempt.
    pub(super) async fn close(&self) {
        let mut files = self.files.lock().await;
        files.closing |= !files.closed;
    }

    /// Writes what waits, if Postgres is there.
    pub(super) async fn drain(&self, history: &HistorySource, spool: &Spool) {
        let mut files = self.files.lock().await;
        let store = store(history);
        let described = self.described();
        for file in files.open.values_mut() {
            file.drain(&described, store.as_ref(), spool).await;
        }
        let is_written = files.open.values().all(File::is_drained);
        if !files.closing || !is_written || spool.is_paused() {
            return;
        }
        let closed = match (history, &store) {
            (HistorySource::None, _) => Ok(()),
            (HistorySource::Store(_), None) => return,
            (HistorySource::Store(_), Some(store)) => store.attempts_close(&described.uid).await,
        };
        match closed {
            Ok(()) => (files.closing, files.closed) = (false, true),
            Err(error) => {
                let error = bedplate_telemetry::chain::Chain(&error).to_string();
                tracing::warn!(error, "the history is away; the end of a run waits for it");
                spool.pause();
            }
        }
    }

    /// Whether nothing waits for Postgres.
    pub(super) async fn is_drained(&self) -> bool {
        let files = self.files.lock().await;
        !files.closing && files.open.values().all(File::is_drained)
    }
}

impl Files {
    async fn open(&mut self, name: &str, uid: &str, history: &HistorySource, spool: &Spool) -> &mut File {
        if self.open.len() >= MAX_FILES && !self.open.contains_key(name) {
            self.make_room(spool);
        }
        match self.open.entry(name.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let store = store(history).filter(|_| !spool.is_paused());
                vacant.insert(File::open(name, uid, store.as_ref()).await)
            }
        }
    }

    /// Lets a file go, one with nothing waiting if there is one; if it comes again, the history says where it stood.
    fn make_room(&mut self, spool: &Spool) {
        let drained = self.open.iter().find(|(_, file)| file.is_drained()).or_else(|| self.open.iter().next());
        if let Some(name) = drained.map(|(name, _)| name.clone())
            && let Some(file) = self.open.remove(&name)
        {
            file.abandon(spool);
        }
    }
}

fn store(history: &HistorySource) -> Option<Store> {
    match history {
        HistorySource::None => None,
        HistorySource::Store(receiver) => receiver.borrow().clone(),
    }
}
