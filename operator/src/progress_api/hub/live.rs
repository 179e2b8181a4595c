//! What is told to whom and when: the snapshot, and when it was last worth a notification.
//!
//! Pure but for the clock it is handed.

use std::time::{Duration, Instant};

use bedplate_crds::job::progress::ProgressEvent;

use crate::progress_api::snapshot::{ProgressSnapshot, is_important};

/// Shortest time between two notifications of one resource, unless something important has happened (DESIGN §3).
const NOTIFY_INTERVAL: Duration = Duration::from_secs(15);
/// The window that reports are counted in, and how many may fall into it: pods send one in two seconds, and a
/// ModelDeployment has many pods.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// See [`RATE_WINDOW`].
const MAX_REPORTS_IN_WINDOW: u32 = 300;

/// The present state of one resource.
#[derive(Debug, Default)]
pub(super) struct Live {
    snapshot: Option<ProgressSnapshot>,
    told: Option<Instant>,
    has_news: bool,
    is_important: bool,
    window: Option<(Instant, u32)>,
}

impl Live {
    /// What is known.
    pub(super) fn snapshot(&self) -> Option<ProgressSnapshot> {
        self.snapshot.clone()
    }

    /// Takes in events, each once and in order.
    pub(super) fn fold<'a>(&mut self, events: impl IntoIterator<Item = &'a ProgressEvent>) {
        for event in events {
            self.snapshot.get_or_insert_default().fold(event);
            self.has_news = true;
            self.is_important |= is_important(&event.body);
        }
    }

    /// Whether there is something to tell now; whoever asks tells it.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_long_ago = self.told.is_none_or(|told| now.duration_since(told) >= NOTIFY_INTERVAL);
        let is_due = self.has_news && (self.is_important || is_long_ago);
        if is_due {
            (self.told, self.has_news, self.is_important) = (Some(now), false, false);
        }
        is_due
    }

    /// Counts a report; false where there are too many.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let (began, count) =
            self.window.filter(|(began, _)| now.duration_since(*began) < RATE_WINDOW).unwrap_or((now, 0));
        self.window = Some((began, count.saturating_add(1)));
        count < MAX_REPORTS_IN_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use bedplate_crds::job::progress::ProgressBody;

    use super::*;

    fn event(body: ProgressBody) -> ProgressEvent {
        ProgressEvent { time_seconds: 1.0, body }
    }

    fn sample() -> ProgressEvent {
        event(ProgressBody::Sample { step: 1, prompt: String::new(), completion: String::new() })
    }

    #[test]
    fn news_are_told_once_in_15_seconds_and_important_ones_at_once() {
        let (mut live, start) = (Live::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!live.is_due(after(0)), "there is nothing to tell");
        live.fold([&sample()]);
        assert!(live.is_due(after(0)));
        live.fold([&sample()]);
        assert!(!live.is_due(after(14)));
        assert!(live.is_due(after(15)));
        live.fold([&event(ProgressBody::Ready { url: "http://x".to_owned() })]);
        assert!(live.is_due(after(16)));
        assert!(!live.is_due(after(60)), "it has been told");
    }

    #[test]
    fn a_flood_of_reports_is_held_back_until_the_window_is_over() {
        let (mut live, start) = (Live::default(), Instant::now());
        let admitted = (0..1_000).filter(|_| live.admit(start)).count();
        assert_eq!(admitted, MAX_REPORTS_IN_WINDOW as usize);
        assert!(live.admit(start + RATE_WINDOW));
    }
}
