//! `cargo xtask ci`: everything that `make test` proves, lane by lane, with a table at the end.
//!
//! Owns the list of lanes. A lane that fails does not stop the others, so that one run shows everything.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{codegen, tidy, workspace};

/// How a lane ended.
enum Outcome {
    Passed,
    Failed(String),
}

/// Name of a lane, and what it does.
type Lane = (&'static str, fn() -> anyhow::Result<Outcome>);

const LANES: [Lane; 11] = [
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("tidy", || tidy::run().map(|()| Outcome::Passed)),
    ("codegen", || codegen::check(&workspace::root()).map(|()| Outcome::Passed)),
    ("deny", deny),
    ("clippy", clippy),
    ("tools", tools),
    ("test", test),
    ("chart", || script("charts/test.sh")),
    ("api", || script("e2e/api.sh")),
    ("install", || script("e2e/chart.sh")),
    ("e2e", || script("e2e/run.sh")),
];

/// Runs every lane and fails if one failed.
pub fn run() -> anyhow::Result<()> {
    // A cold build of them takes nine minutes, so it goes on while cargo compiles; its lane waits for it.
    let building = build_tools().stdout(Stdio::null()).current_dir(workspace::root()).spawn();
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
    // Its lane has waited for it, or could not be reached; how it ended was seen there.
    if let Ok(mut building) = building {
        building.wait().context("cannot wait for the build of the tools")?;
    }
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
        };
        writeln!(text, "| {name} | {outcome} | {:.0} |", took.as_secs_f64())?;
    }
    Ok(text)
}

/// Licences, sources and bans of the whole graph; advisories need a database that is not in any package registry.
fn deny() -> anyhow::Result<Outcome> {
    let program = workspace::output(&workspace::root(), "bash", &["scripts/cargo-deny.sh"])?;
    run_in_root(Command::new(program.trim()).args(["--offline", "check", "bans", "licenses", "sources"]))
}

/// With the tests that need a cluster, which no other lane but theirs compiles.
fn clippy() -> anyhow::Result<Outcome> {
    cargo(&["clippy", "--workspace", "--all-targets", "--features", "bedplate-e2e/cluster", "--", "--deny", "warnings"])
}

fn build_tools() -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "e2e/tools/build.sh all && e2e/prometheus/build.sh"]);
    command
}

/// Waits for the binaries of Kubernetes and Prometheus, which another process may be building.
fn tools() -> anyhow::Result<Outcome> {
    run_in_root(&mut build_tools())
}

/// The tests of the workspace; those that need a kube-apiserver fail where there is none.
fn test() -> anyhow::Result<Outcome> {
    run_in_root(Command::new("cargo").args(["test", "--workspace", "--no-fail-fast"]).env("REQUIRE_KUBE", "1"))
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Outcome> {
    run_in_root(Command::new("cargo").args(arguments))
}

/// A script builds what it needs of Kubernetes from Go modules, once, into the cache.
fn script(path: &str) -> anyhow::Result<Outcome> {
    run_in_root(Command::new("bash").arg(path))
}

fn run_in_root(command: &mut Command) -> anyhow::Result<Outcome> {
    workspace::without_own_package(command.current_dir(workspace::root()));
    let status = command.status().with_context(|| format!("cannot start {}; is it installed?", words(command)))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("{}: {status}", words(command))) })
}

fn words(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_how_each_lane_ended() {
        let results = [
            ("fmt", Outcome::Passed, Duration::from_secs(2)),
            ("test", Outcome::Failed("one".to_owned()), Duration::from_secs(90)),
        ];
        let text = table(&results).expect("a table");
        assert!(text.contains("| fmt | passed | 2 |"), "{text}");
        assert!(text.contains("| test | FAILED | 90 |"), "{text}");
    }

    #[test]
    fn a_lane_whose_command_fails_fails() {
        assert!(matches!(cargo(&["no-such-subcommand"]).expect("cargo starts"), Outcome::Failed(_)));
    }
}
