//! Tells the operator how far the work is, from the progress file and beside the work.
//!
//! Owns one thread with a runtime of its own. The file is the spool: while the operator is away nothing is kept in memory and
//! nothing is lost, and the operator says from which line it goes on. Never blocks, slows or fails the work.

mod client;
mod tail;

use std::{
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bedplate_crds::job::{JobMetadata, Reporting};
use bedplate_telemetry::chain::Chain;
use tokio::{sync::watch, time::sleep};

use self::{
    client::{Client, ClientError},
    tail::Tail,
};

/// How often the file is looked at: the status is written once in 15 s, and the history need not be younger than this.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// First pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause: an operator that comes back hears of every pod within a minute, and one that is away is not called more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause once the work is done: there is little time left.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// The thread says once that it has ended.
const ONE_ANSWER: usize = 1;
/// How long the end of the process waits for the last lines: within Kubernetes' 30 s of grace with the work's own end before it.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest time between two log lines about a server that is away: a person needs one, not one in 30 s for days.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(300);

/// A running reporter.
#[derive(Debug)]
#[must_use = "finish it, or the last lines are not reported"]
pub struct Reporter {
    work: watch::Sender<Work>,
    done: mpsc::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    GoesOn,
    IsDone,
}

impl Reporter {
    /// Starts to report `progress_file`; none where the job names no server. A thread that cannot be started is a warning.
    pub fn start(metadata: &JobMetadata, reporting: Option<&Reporting>, progress_file: &Path) -> Option<Self> {
        let client = Client::new(metadata, reporting?);
        let tail = Tail::new(progress_file.to_owned());
        let (work, watched) = watch::channel(Work::GoesOn);
        let (sender, done) = mpsc::sync_channel(ONE_ANSWER);
        let started = thread::Builder::new().name("reporter".to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(Course { client, tail, work: watched, complained: None }.run()),
                Err(error) => tracing::warn!(%error, "progress is not reported"),
            }
            // Nobody listens where the process did not wait for us.
            let _ = sender.send(());
        });
        match started {
            Ok(_) => Some(Self { work, done }),
            Err(error) => {
                tracing::warn!(%error, "progress is not reported");
                None
            }
        }
    }

    /// Waits until everything is reported, at most [`FLUSH_TIMEOUT`].
    pub fn finish(self) {
        // Fails only where the thread has ended already; then there is nothing to wait for either.
        let _ = self.work.send(Work::IsDone);
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.done.recv_timeout(FLUSH_TIMEOUT) {
            tracing::warn!("the operator could not be told of the end in time; it is in the progress file");
        }
    }
}

/// The reporter's life.
struct Course {
    client: Client,
    tail: Tail,
    work: watch::Receiver<Work>,
    complained: Option<Instant>,
}

impl Course {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            // Looked at before the file, so that what was written before the end is seen after it.
            let work = *self.work.borrow_and_update();
            match self.step().await {
                Ok(true) => failures = 0,
                Ok(false) if work == Work::IsDone => return,
                Ok(false) => {
                    failures = 0;
                    self.pause(POLL_INTERVAL).await;
                }
                Err(error) => {
                    self.client.hang_up();
                    self.complain(&error);
                    self.pause(pause_after(failures, work)).await;
                    failures += 1;
                }
            }
        }
    }

    /// Sends the next lines, if there are any.
    async fn step(&mut self) -> Result<bool, ClientError> {
        let Some(file) = self.tail.id().map_err(ClientError::Read)? else { return Ok(false) };
        if let Some(line) = self.client.resume(&file).await? {
            self.tail.restart(line).map_err(ClientError::Read)?;
        }
        let lines = self.tail.lines().map_err(ClientError::Read)?;
        if lines.is_empty() {
            return Ok(false);
        }
        let first = self.tail.line();
        let next = self.client.report(&file, first, lines).await?;
        self.tail.seek(next).map_err(ClientError::Read)?;
        if next == first { Err(ClientError::Full) } else { Ok(true) }
    }

    /// Waits; the end of the work cuts it short.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            changed = self.work.changed() => {
                if changed.is_err() {
                    // Nobody will ever say that the work is done: the process ends without waiting.
                    sleep(pause).await;
                }
            }
        }
    }

    fn complain(&mut self, error: &ClientError) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            tracing::warn!(error = %Chain(error), "progress waits in its file");
        }
    }
}

/// The pause after so many failures in a row, of which a random part is taken off: pods that lost one operator together
/// must not come back together.
fn pause_after(failures: u32, work: Work) -> Duration {
    let longest = if work == Work::IsDone { LAST_PAUSE } else { LONGEST_PAUSE };
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(longest);
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_alike() {
        for failures in [0, 1, 5, 6, 7, 40, u32::MAX] {
            for (work, longest) in [(Work::GoesOn, LONGEST_PAUSE), (Work::IsDone, LAST_PAUSE)] {
                let pause = pause_after(failures, work);
                assert!(pause <= longest && pause >= FIRST_PAUSE / 2, "{pause:?} after {failures} failures");
            }
        }
        assert!(pause_after(10, Work::GoesOn) >= LONGEST_PAUSE / 2);
        let several: std::collections::HashSet<_> = (0..8).map(|_| pause_after(10, Work::GoesOn)).collect();
        assert!(several.len() > 1);
    }
}
