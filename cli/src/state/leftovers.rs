//! Processes that a killed run left behind.
//!
//! Owns ending them before the next run touches their folders. Never ends a process that it cannot tell to be the same:
//! process ids are used again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::records::{Phase, Reason, Records};
use crate::process::{GRACE, identity::ProcessIdentity};

/// Between two looks at a process that is no child and so cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends what still runs and corrects the records of a run that could not. Returns the names of what was ended.
pub async fn end(records: &mut Records) -> Vec<String> {
    let mut ended = Vec::new();
    for (name, record) in records.iter_mut() {
        for process in record.processes.drain(..) {
            if process.is_alive() {
                ended.push(format!("{name} (process {})", process.pid));
                end_one(&process).await;
            }
        }
        if matches!(record.phase, Phase::Running | Phase::Ready | Phase::Pending) {
            (record.phase, record.reason, record.url) = (Phase::Stopped, Some(Reason::RunLost), None);
        }
    }
    ended
}

/// SIGTERM, the grace a child would have, SIGKILL.
async fn end_one(process: &ProcessIdentity) {
    let deadline = Instant::now() + GRACE;
    process.terminate();
    while process.is_alive() && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
    }
    process.kill();
}
