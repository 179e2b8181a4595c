//! Plain lines for logs and pipes, at a bounded rate.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{Live, View};

/// Between two lines of figures of one resource: a ten-minute training leaves a hundred lines, not ten thousand.
const LINE_EVERY: Duration = Duration::from_secs(6);

#[derive(Default)]
struct Row {
    name: String,
    last: Option<Instant>,
    text: String,
    shown: bool,
}

pub(super) struct Plain {
    rows: Vec<Row>,
    name_width: usize,
}

impl Plain {
    pub(super) fn new(rows: usize, name_width: usize) -> Self {
        Self { rows: std::iter::repeat_with(Row::default).take(rows).collect(), name_width }
    }

    fn print(&mut self, row: usize) {
        let Row { name, text, .. } = &self.rows[row];
        let line = format!("{name:<width$}  {text}", width = self.name_width);
        self.line(&line);
        self.rows[row].shown = true;
        self.rows[row].last = Some(Instant::now());
    }
}

impl View for Plain {
    fn line(&mut self, text: &str) {
        // Whoever closed the pipe does not want to be told.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn begin(&mut self, row: usize, name: &str) {
        self.rows[row] = Row { name: name.to_owned(), ..Row::default() };
    }

    fn show(&mut self, row: usize, live: &Live) {
        if live.text == self.rows[row].text {
            return;
        }
        live.text.clone_into(&mut self.rows[row].text);
        self.rows[row].shown = live.told;
        if !live.told && self.rows[row].last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.print(row);
        }
    }

    /// The last figures are shown however soon they came after the line before.
    fn end(&mut self, row: usize) {
        if !self.rows[row].text.is_empty() && !self.rows[row].shown {
            self.print(row);
        }
        self.rows[row] = Row::default();
    }
}
