//! Lanes that run beside each other, each as soon as those it needs have passed.
//!
//! Owns the order, the log of each lane and how it ended. Knows no lane.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

/// One thing to prove.
pub struct Lane {
    /// Its name.
    pub name: &'static str,
    /// Lanes that must have ended before, all of them above it in the list; it is left out where one that makes what it
    /// needs (`MAKERS`) did not pass.
    pub after: &'static [&'static str],
    /// What it does; commands go through the log.
    pub work: fn(&Log) -> anyhow::Result<Outcome>,
}

/// Lanes without whose results those behind them have nothing to test.
const MAKERS: [&str; 3] = ["tools", "build", "images"];

/// How a lane ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Why not.
    Failed(String),
    /// The lane that it needed and that did not pass.
    LeftOut(String),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Result {
    /// Name of the lane.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Since the beginning of all.
    pub began: Duration,
    /// From its own beginning to its end.
    pub took: Duration,
}

impl Result {
    /// Whether all is well.
    pub fn has_passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed)
    }
}

/// Where the words of a lane's commands go until it ends: lanes that ran side by side are printed one after another.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Runs a command without input; its output goes to the log.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<Outcome> {
        let words = words(command);
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        writeln!(file, "$ {words}")?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let status = command.status().with_context(|| format!("cannot start {words}; is it installed?"))?;
        Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("{words}: {status}")) })
    }
}

impl Outcome {
    /// The first that is not well.
    fn of(result: anyhow::Result<Self>) -> Self {
        result.unwrap_or_else(|error| Self::Failed(format!("{error:#}")))
    }
}

fn words(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    words.join(" ")
}

/// Results so far, and those who wait for them.
struct Board {
    began: Instant,
    results: Mutex<Vec<Result>>,
    changed: Condvar,
}

/// Runs all lanes, their logs in `logs`; the results in the order of the lanes.
pub fn run(lanes: &[Lane], logs: &Path) -> Vec<Result> {
    let board = Board { began: Instant::now(), results: Mutex::new(Vec::new()), changed: Condvar::new() };
    thread::scope(|scope| {
        for lane in lanes {
            let board = &board;
            scope.spawn(move || board.finish(run_lane(lane, board, logs), logs));
        }
    });
    let results = board.results.into_inner().unwrap_or_else(PoisonError::into_inner);
    lanes.iter().filter_map(|lane| results.iter().find(|result| result.name == lane.name).cloned()).collect()
}

fn run_lane(lane: &Lane, board: &Board, logs: &Path) -> Result {
    let missing = board.wait_for(lane.after);
    let (began, start) = (board.began.elapsed(), Instant::now());
    let outcome = match missing {
        Some(name) => Outcome::LeftOut(name),
        None => {
            println!("== {} begins at {:.0} s", lane.name, began.as_secs_f64());
            let path = log_path(logs, lane.name);
            let emptied = fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()));
            Outcome::of(emptied.and_then(|()| (lane.work)(&Log { path })))
        }
    };
    Result { name: lane.name, outcome, began, took: start.elapsed() }
}

fn log_path(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

impl Board {
    /// Waits until the lanes have ended; the first maker among them that did not pass.
    fn wait_for(&self, names: &[&str]) -> Option<String> {
        let mut results = self.lock();
        while !names.iter().all(|name| results.iter().any(|result| result.name == *name)) {
            results = self.changed.wait(results).unwrap_or_else(PoisonError::into_inner);
        }
        let needed = |result: &&Result| names.contains(&result.name) && !result.has_passed();
        let missing = results.iter().filter(needed).find(|result| is_needed(result));
        missing.map(|result| result.name.to_owned())
    }

    /// Prints what a lane said and lets those go on that waited for it.
    fn finish(&self, result: Result, logs: &Path) {
        let mut results = self.lock();
        let said = match &result.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(why) => format!("FAILED: {why}"),
            Outcome::LeftOut(name) => format!("left out, for {name} did not pass"),
        };
        let log = fs::read(log_path(logs, result.name)).unwrap_or_default();
        let mut out = io::stdout().lock();
        // What cannot be printed is still in the log.
        let _ = out.write_all(&log);
        let _ = writeln!(out, "== {} {said} ({:.0} s)", result.name, result.took.as_secs_f64());
        results.push(result);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Result>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether others are left out where this did not pass: a maker that failed, or whatever was left out itself.
fn is_needed(result: &Result) -> bool {
    MAKERS.contains(&result.name) || matches!(result.outcome, Outcome::LeftOut(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(log: &Log, word: &str) -> anyhow::Result<Outcome> {
        log.run(Command::new("echo").arg(word))
    }

    #[test]
    fn a_lane_runs_after_those_it_waits_for_and_without_those_that_failed() {
        let lanes = [
            Lane { name: "build", after: &[], work: |log| log.run(&mut Command::new("false")) },
            Lane { name: "lint", after: &[], work: |_| anyhow::bail!("no linter") },
            Lane { name: "test", after: &["build"], work: |log| says(log, "tested") },
            Lane { name: "chart", after: &["lint"], work: |log| says(log, "drawn") },
            Lane { name: "last", after: &["test"], work: |log| says(log, "done") },
        ];
        let logs = tempfile::tempdir().expect("a folder");
        let results = run(&lanes, logs.path());
        let names: Vec<&str> = results.iter().map(|result| result.name).collect();
        assert_eq!(names, ["build", "lint", "test", "chart", "last"]);
        assert!(matches!(results[0].outcome, Outcome::Failed(_)));
        assert!(matches!(&results[1].outcome, Outcome::Failed(why) if why == "no linter"));
        assert!(matches!(&results[2].outcome, Outcome::LeftOut(name) if name == "build"), "{results:?}");
        assert!(results[3].has_passed() && results[3].began >= results[1].began);
        assert!(matches!(&results[4].outcome, Outcome::LeftOut(name) if name == "test"), "{results:?}");
        assert_eq!(fs::read_to_string(log_path(logs.path(), "chart")).expect("a log"), "$ echo drawn\ndrawn\n");
    }
}
