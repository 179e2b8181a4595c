//! Bars on a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Live, View};

/// Positions of a bar; a terminal shows fewer.
const BAR_POSITIONS: u64 = 10_000;
/// The spinner turns at this pace: alive, not restless.
const TURN_EVERY: Duration = Duration::from_millis(120);

pub(super) struct Bars {
    all: MultiProgress,
    rows: Vec<Option<ProgressBar>>,
    name_width: usize,
}

impl Bars {
    pub(super) fn new(rows: usize, name_width: usize) -> Self {
        Self { all: MultiProgress::new(), rows: vec![None; rows], name_width }
    }

    fn style(&self, has_fraction: bool) -> ProgressStyle {
        let width = self.name_width;
        let template = if has_fraction {
            format!(
                "{{spinner:.cyan}} {{prefix:<{width}.bold}}  {{bar:24.cyan/black.bright}} {{percent:>3}}%  {{wide_msg}}"
            )
        } else {
            format!("{{spinner:.cyan}} {{prefix:<{width}.bold}}  {{wide_msg}}")
        };
        ProgressStyle::with_template(&template).expect("the template is fixed").progress_chars("━╸━")
    }
}

impl View for Bars {
    fn line(&mut self, text: &str) {
        // A terminal that is gone takes no line, and nobody is there to be told.
        let _ = self.all.println(text);
    }

    fn begin(&mut self, row: usize, name: &str) {
        self.end(row);
        let bar = self.all.add(ProgressBar::new(BAR_POSITIONS));
        bar.set_style(self.style(false));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TURN_EVERY);
        self.rows[row] = Some(bar);
    }

    fn show(&mut self, row: usize, live: &Live) {
        let Some(bar) = &self.rows[row] else { return };
        bar.set_style(self.style(live.fraction.is_some()));
        if let Some(fraction) = live.fraction {
            bar.set_position((fraction.clamp(0.0, 1.0) * BAR_POSITIONS as f64) as u64);
        }
        bar.set_message(live.text.clone());
    }

    fn end(&mut self, row: usize) {
        if let Some(bar) = self.rows[row].take() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}
