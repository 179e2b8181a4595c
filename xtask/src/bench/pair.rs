//! Two commands that measure the same figures, run in turn.
//!
//! Owns starting them and reading what they print. Knows nothing of what the figures mean.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, ensure};

/// Figures of one run by name; larger is better.
pub type Figures = BTreeMap<String, f64>;

/// One side.
pub struct Side {
    /// Name in the table.
    pub name: &'static str,
    program: String,
    arguments: Vec<String>,
}

/// The two sides.
pub struct Pair {
    /// Heading of the table.
    pub name: &'static str,
    /// Bedplate.
    pub ours: Side,
    /// Whom it is held against.
    pub peer: Side,
}

/// What both sides measured in one round.
pub struct Round {
    /// Bedplate's figures.
    pub ours: Figures,
    /// The peer's.
    pub peer: Figures,
}

/// A side that runs `program` with `arguments`.
pub fn command(name: &'static str, program: &str, arguments: &[&str]) -> Side {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Side { name, program: program.to_owned(), arguments }
}

impl Pair {
    /// Runs both sides `rounds` times, each going first in every second round.
    pub fn run(&self, rounds: usize) -> anyhow::Result<Vec<Round>> {
        (0..rounds)
            .map(|round| {
                eprintln!("round {} of {rounds}", round + 1);
                Ok(if round % 2 == 0 {
                    let ours = self.ours.run()?;
                    Round { ours, peer: self.peer.run()? }
                } else {
                    let peer = self.peer.run()?;
                    Round { ours: self.ours.run()?, peer }
                })
            })
            .collect()
    }
}

impl Side {
    /// Runs the command; its last line of output is a JSON object of figures.
    fn run(&self) -> anyhow::Result<Figures> {
        let output = Command::new(&self.program).args(&self.arguments).stderr(std::process::Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {} ({})", self.name, self.program))?;
        ensure!(output.status.success(), "{} ended with {}", self.name, output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        serde_json::from_str(last)
            .with_context(|| format!("{}: the last line is no JSON object of numbers: {last:?}", self.name))
    }
}
