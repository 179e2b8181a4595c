//! The task in the background that reaches Postgres, carries the history over, and tries again when it was away.
//!
//! Owns the private server while it runs, and the words why something is not recorded. Never makes anybody wait.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bedplate_operator::store::local_server::LocalServer;
use bedplate_telemetry::chain::Chain;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{HistoryError, journal::Journal, place::Place, sync::Sync};

/// How often progress is carried over: a person who looks at `bedplate runs` meanwhile sees it a second late.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest single transfer. What it has written by then stays written; a server that hangs is left and met again.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);
/// First pause after a failure: a restart of Postgres takes a second.
const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
/// Longest pause: a server that was away for hours is met again soon after its return.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

struct Recorder {
    journal: Journal,
    session: Uuid,
    place: Place,
    signals: Arc<Signals>,
    closing: watch::Receiver<bool>,
}

/// Starts a recorder on the tokio runtime around the caller.
pub(super) fn start(journal: Journal, session: Uuid, place: Place) -> Handle {
    let (closer, closing) = watch::channel(false);
    let signals = Arc::<Signals>::default();
    let recorder = Recorder { journal, session, place, signals: Arc::clone(&signals), closing };
    Handle { signals, closer, task: tokio::spawn(recorder.record()) }
}

/// What the recorder and its handle tell each other.
#[derive(Debug, Default)]
struct Signals {
    /// Something was added to the journal.
    added: Notify,
    /// Why Postgres does not have everything; none while it has.
    behind: Mutex<Option<String>>,
}

impl Signals {
    fn set_behind(&self, why: Option<String>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn behind(&self) -> Option<String> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The other end of a running recorder.
#[derive(Debug)]
pub(super) struct Handle {
    signals: Arc<Signals>,
    closer: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Says that something was added to the journal.
    pub(super) fn wake(&self) {
        self.signals.added.notify_one();
    }

    /// Waits for the last of it, and says why Postgres does not have everything, if so.
    pub(super) async fn finish(self) -> Option<String> {
        let Self { signals, closer, task } = self;
        // The recorder ends by itself only after this.
        let _ = closer.send(true);
        let panicked = task.await.err().map(|error| error.to_string());
        signals.behind().or(panicked)
    }
}

impl Recorder {
    /// Tries, waits, tries again; after the closing has been told, once more and then no longer.
    async fn record(mut self) {
        let mut server = None;
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let last = self.is_closing();
            match self.record_until_trouble(&mut server, &mut back_off).await {
                Ok(()) => break,
                Err(error) => self.note_trouble(&error),
            }
            if last {
                break;
            }
            let _ = timeout(back_off, self.closed()).await;
            back_off = (back_off * 2).min(MAX_BACK_OFF);
        }
        if let Some(server) = server
            && let Err(error) = server.close().await
        {
            tracing::warn!(error = %Chain(&error), "could not stop the private Postgres");
        }
    }

    /// Ends well only when everything is recorded and the closing was told.
    async fn record_until_trouble(
        &mut self,
        server: &mut Option<LocalServer>,
        back_off: &mut Duration,
    ) -> Result<(), HistoryError> {
        let store = self.place.connect(server).await?;
        let mut sync = Sync::new(self.journal.clone(), self.session);
        loop {
            let last = self.is_closing();
            let stuck = |_| HistoryError::Stuck { seconds: PASS_TIMEOUT.as_secs() };
            timeout(PASS_TIMEOUT, sync.pass(&store)).await.map_err(stuck)??;
            if self.signals.behind().is_some() {
                tracing::info!(server = store.server(), "the history is recorded again");
            }
            self.signals.set_behind(None);
            *back_off = FIRST_BACK_OFF;
            if last {
                store.close().await;
                return Ok(());
            }
            let signals = Arc::clone(&self.signals);
            tokio::select! {
                () = signals.added.notified() => {}
                () = sleep(INTERVAL) => {}
                () = self.closed() => {}
            }
        }
    }

    /// Whether the closing was told, or the handle was dropped, which says the same.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    /// Waits for the closing.
    async fn closed(&mut self) {
        while !self.is_closing() && self.closing.changed().await.is_ok() {}
    }

    /// Said once for each trouble, not for each try.
    fn note_trouble(&self, error: &HistoryError) {
        let why = Chain(error).to_string();
        if self.signals.behind().is_none() {
            tracing::warn!(why, "the history is not recorded for now; the run goes on");
        }
        self.signals.set_behind(Some(why));
    }
}
