//! What a person sees while a run goes on: one moving line a resource, and lines that stay.
//!
//! Owns the terminal. Never decides anything; everything shown is also in the report.

mod bars;
mod plain;
pub mod text;

use std::io::IsTerminal;

/// The moving line of a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Share of the work done, where it is known.
    pub fraction: Option<f64>,
    /// Figures.
    pub text: String,
    /// Whether a line that stays has said the same.
    pub told: bool,
}

/// A place to show things.
pub trait View {
    /// A line that stays.
    fn line(&mut self, text: &str);
    /// A resource begins to move.
    fn begin(&mut self, row: usize, name: &str);
    /// Its figures.
    fn show(&mut self, row: usize, live: &Live);
    /// It stands still from now on.
    fn end(&mut self, row: usize);
}

/// Bars on a terminal, plain lines elsewhere. Both go to standard error: standard output is for results.
pub fn open(names: &[String]) -> Box<dyn View> {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    if std::io::stderr().is_terminal() {
        Box::new(bars::Bars::new(names.len(), width))
    } else {
        Box::new(plain::Plain::new(names.len(), width))
    }
}
