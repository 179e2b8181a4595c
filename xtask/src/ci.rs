//! `cargo xtask ci`: everything that `make test` proves, lane by lane, with a table at the end.
//!
//! Owns the list of lanes and what each waits for. A lane that fails does not stop those that do not need it, so that one run
//! shows everything. Never compiles a crate twice: tests, images and the cluster's tests are one build (`workspace::BUILD`).

mod lane;

use std::{fmt::Write as _, process::Command, time::Instant};

use anyhow::{Context, bail};

use crate::{codegen, workspace};
use lane::{Lane, Log, Outcome, Result};

/// In the order in which they are printed. The cluster's tests wait more than they compute, so those that compute run beside
/// them; they wait for each other, because two cores bear one of them at a time.
const LANES: [Lane; 13] = [
    Lane { name: "tools", after: &[], work: tools },
    Lane { name: "fmt", after: &[], work: |log| cargo(log, &["fmt", "--all", "--check"]) },
    Lane { name: "build", after: &["fmt"], work: build },
    Lane { name: "images", after: &["build"], work: |log| xtask(log, &["image"]) },
    Lane { name: "e2e", after: &["tools", "images"], work: |log| script(log, "e2e/run.sh") },
    Lane { name: "tidy", after: &["build"], work: |log| xtask(log, &["tidy"]) },
    Lane { name: "codegen", after: &["tidy"], work: |_| codegen::check(&workspace::root()).map(|()| Outcome::Passed) },
    Lane { name: "test", after: &["tools", "codegen"], work: test },
    Lane { name: "clippy", after: &["test"], work: clippy },
    Lane { name: "api", after: &["clippy"], work: |log| script(log, "e2e/api.sh") },
    Lane { name: "chart", after: &["api"], work: |log| script(log, "charts/test.sh") },
    Lane { name: "install", after: &["chart"], work: |log| script(log, "e2e/chart.sh") },
    Lane { name: "deny", after: &["install"], work: deny },
];

/// Runs every lane and fails if one failed.
pub fn run() -> anyhow::Result<()> {
    let began = Instant::now();
    let logs = workspace::target_dir(&workspace::root())?.join("ci");
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let results = lane::run(&LANES, &logs);
    print!("{}\n{:.0} s in all\n", table(&results)?, began.elapsed().as_secs_f64());
    let failed: Vec<&str> = results.iter().filter(|row| !row.has_passed()).map(|row| row.name).collect();
    if !failed.is_empty() {
        bail!("did not pass: {}", failed.join(", "));
    }
    Ok(())
}

fn table(results: &[Result]) -> anyhow::Result<String> {
    let mut text = String::from("\n| lane | outcome | began at s | took s |\n|---|---|---|---|\n");
    for Result { name, outcome, began, took } in results {
        let outcome = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::LeftOut(_) => "LEFT OUT",
        };
        writeln!(text, "| {name} | {outcome} | {:.0} | {:.0} |", began.as_secs_f64(), took.as_secs_f64())?;
    }
    Ok(text)
}

/// Licences, sources and bans of the whole graph; advisories need a database that is not in any package registry.
fn deny(log: &Log) -> anyhow::Result<Outcome> {
    let program = workspace::output(&workspace::root(), "bash", &["scripts/cargo-deny.sh"])?;
    in_root(log, Command::new(program.trim()).args(["--offline", "check", "bans", "licenses", "sources"]))
}

/// Every test, and with them every binary that ships.
fn build(log: &Log) -> anyhow::Result<Outcome> {
    cargo(log, &[&["test"], &workspace::BUILD[..], &["--no-run"]].concat())
}

/// With the tests that need a cluster.
fn clippy(log: &Log) -> anyhow::Result<Outcome> {
    cargo(log, &[&["clippy"], &workspace::BUILD[..], &["--all-targets", "--", "--deny", "warnings"]].concat())
}

/// Binaries of Kubernetes and Prometheus, from Go modules.
fn tools(log: &Log) -> anyhow::Result<Outcome> {
    in_root(log, Command::new("bash").args(["-c", "e2e/tools/build.sh all && e2e/prometheus/build.sh"]))
}

/// The tests of the workspace but those of the cluster; those that need a kube-apiserver fail where there is none.
fn test(log: &Log) -> anyhow::Result<Outcome> {
    let kinds = ["--lib", "--bins", "--test", "it", "--no-fail-fast"];
    let arguments = [&["test"], &workspace::BUILD[..], &kinds].concat();
    in_root(log, Command::new("cargo").args(arguments).env("REQUIRE_KUBE", "1"))
}

fn cargo(log: &Log, arguments: &[&str]) -> anyhow::Result<Outcome> {
    in_root(log, Command::new("cargo").args(arguments))
}

/// A process of its own, so that its words are in the lane's log.
fn xtask(log: &Log, arguments: &[&str]) -> anyhow::Result<Outcome> {
    in_root(log, Command::new(std::env::current_exe()?).args(arguments))
}

fn script(log: &Log, path: &str) -> anyhow::Result<Outcome> {
    in_root(log, Command::new("bash").arg(path))
}

fn in_root(log: &Log, command: &mut Command) -> anyhow::Result<Outcome> {
    workspace::without_own_package(command.current_dir(workspace::root()));
    log.run(command)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_says_how_each_lane_ended() {
        let row = |name, outcome, took| Result {
            name,
            outcome,
            began: Duration::from_secs(7),
            took: Duration::from_secs(took),
        };
        let results = [
            row("fmt", Outcome::Passed, 2),
            row("test", Outcome::Failed("one".to_owned()), 90),
            row("e2e", Outcome::LeftOut("test".to_owned()), 0),
        ];
        let text = table(&results).expect("a table");
        assert!(text.contains("| fmt | passed | 7 | 2 |"), "{text}");
        assert!(text.contains("| test | FAILED | 7 | 90 |"), "{text}");
        assert!(text.contains("| e2e | LEFT OUT | 7 | 0 |"), "{text}");
    }

    #[test]
    fn a_lane_waits_only_for_lanes_above_it() {
        for (index, lane) in LANES.iter().enumerate() {
            for name in lane.after {
                assert!(LANES[..index].iter().any(|above| above.name == *name), "{} waits for {name}", lane.name);
            }
        }
    }
}
