//! `cargo xtask ci`: everything that `make test` proves, lane by lane, with a table at the end.
//!
//! Owns the list of lanes. A lane that fails does not stop the others, so that one run shows everything.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{codegen, tidy, workspace};

/// How a lane ended.
enum Outcome {
    Passed,
    Failed(String),
    /// What the machine lacks.
    Skipped(&'static str),
}

/// Name of a lane, and what it does.
type Lane = (&'static str, fn() -> anyhow::Result<Outcome>);

const LANES: [Lane; 6] = [
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("tidy", || tidy::run().map(|()| Outcome::Passed)),
    ("codegen", || codegen::check(&workspace::root()).map(|()| Outcome::Passed)),
    ("deny", deny),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])),
    ("test", || cargo(&["test", "--workspace", "--no-fail-fast"])),
];

/// Runs every lane and fails if one failed.
pub fn run() -> anyhow::Result<()> {
    let results: Vec<_> = LANES
        .iter()
        .map(|(name, lane)| {
            println!("== {name}");
            let start = Instant::now();
            let outcome = lane().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
            if let Outcome::Failed(why) = &outcome {
                eprintln!("{why}");
            }
            (*name, outcome, start.elapsed())
        })
        .collect();
    print!("{}", table(&results)?);
    let failed: Vec<&str> = results.iter().filter(|row| matches!(row.1, Outcome::Failed(_))).map(|row| row.0).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn table(results: &[(&str, Outcome, Duration)]) -> anyhow::Result<String> {
    let mut text = String::from("\n| lane | outcome | seconds |\n|---|---|---|\n");
    for (name, outcome, took) in results {
        let outcome = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(_) => "FAILED".to_owned(),
            Outcome::Skipped(why) => format!("skipped: {why}"),
        };
        writeln!(text, "| {name} | {outcome} | {:.0} |", took.as_secs_f64())?;
    }
    Ok(text)
}

/// Licences, sources and bans are in tidy too; cargo-deny adds what only it knows.
fn deny() -> anyhow::Result<Outcome> {
    let is_installed = Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|ran| ran.status.success());
    if !is_installed {
        return Ok(Outcome::Skipped("cargo-deny is not installed; tidy checked licences, sources and bans"));
    }
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Outcome> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(workspace::root());
    // What `cargo run` says of this package is in the environment; build scripts that watch it (ring's) would run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let status = command.status().context("cannot start cargo; is it installed?")?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("cargo {}: {status}", arguments.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_how_each_lane_ended() {
        let results = [
            ("fmt", Outcome::Passed, Duration::from_secs(2)),
            ("test", Outcome::Failed("one".to_owned()), Duration::from_secs(90)),
            ("deny", Outcome::Skipped("absent"), Duration::ZERO),
        ];
        let text = table(&results).expect("a table");
        assert!(text.contains("| fmt | passed | 2 |"), "{text}");
        assert!(text.contains("| test | FAILED | 90 |"), "{text}");
        assert!(text.contains("| deny | skipped: absent | 0 |"), "{text}");
    }

    #[test]
    fn a_lane_whose_command_fails_fails() {
        assert!(matches!(cargo(&["no-such-subcommand"]).expect("cargo starts"), Outcome::Failed(_)));
    }
}
