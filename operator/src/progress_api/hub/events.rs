//! Lines of a progress file into events that know their line. Never fails: a line that is no event is skipped.

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent};

/// An event and the number of its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbered {
    pub line: u64,
    pub event: ProgressEvent,
}

/// The events among `lines`, the first of which has number `first_line`; lines before `from` are left out.
pub(super) fn parse(first_line: u64, lines: &[String], from: u64) -> Vec<Numbered> {
    let numbered = (first_line..).zip(lines).filter(|(line, _)| *line >= from);
    let event = |(line, text): (u64, &String)| match serde_json::from_str(text) {
        Ok(event) => Some(Numbered { line, event }),
        // Torn by a crash, or written by a later release.
        Err(error) => {
            tracing::debug!(%error, line, "skipped a progress line");
            None
        }
    };
    numbered.filter_map(event).collect()
}

/// Cuts events into attempts: each piece but perhaps the first begins with `started`.
pub(super) fn attempts(events: &[Numbered]) -> Vec<&[Numbered]> {
    let is_start = |numbered: &Numbered| matches!(numbered.event.body, ProgressBody::Started { .. });
    events.chunk_by(|_, next| !is_start(next)).collect()
}

/// When and with which exit status the attempt says it ended, if it does.
pub(super) fn end(events: &[Numbered]) -> Option<(f64, i32)> {
    events.iter().rev().find_map(|Numbered { event, .. }| match event.body {
        ProgressBody::Completed { .. } => Some((event.time_seconds, 0)),
        ProgressBody::Failed { exit_code, .. } => Some((event.time_seconds, exit_code)),
        _ => None,
    })
}
