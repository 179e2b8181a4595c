//! What a run says when everything is ready, when something fails, and at its end.

use std::{path::Path, rc::Rc};

use bedplate_crds::model_deployment::ServedModel;
use bedplate_operator::resource::AnyResource;

use super::{Run, board::Entry, told::Failure};
use crate::{
    figures,
    outcome::{Outcome, reason_of_stopped},
    report,
    state::records::Phase,
    table::table,
    view::text,
};

/// Lines of a log shown when its process fails.
const LOG_LINES_SHOWN: usize = 12;
/// Part of a log that is read for them.
const LOG_TAIL_BYTES: usize = 16 << 10;
/// Longest line of a log shown.
const LOG_LINE_CHARS: usize = 240;

impl Run {
    /// The table and how to talk to each endpoint, on standard output.
    pub(super) fn tell_ready(&mut self) {
        for row in 0..self.board.entries.len() {
            self.board.view.end(row);
        }
        println!("\n{}", self.table());
        for entry in &self.board.entries {
            if let Some(url) = &entry.record.url {
                println!("{}", how_to_ask(entry, url));
            }
        }
        println!("Report: {}", shown(&self.state.latest_report()));
        if self.args.exec.is_none() && !self.args.once {
            println!("Ctrl-C stops the endpoints.");
        }
    }

    /// What failed, why, and the last lines of its log.
    pub(super) fn tell_failure(&mut self, row: usize, failure: &Failure) {
        let name = &self.board.entries[row].name;
        let mut lines = vec![format!("\n{name} failed ({}): {}", failure.reason, text::message(&failure.message))];
        if let Some(log) = &failure.log {
            let tail = last_lines(log);
            let heading = if tail.is_empty() { "  its log is empty" } else { "  the end of its log" };
            lines.push(format!("{heading} ({}):", shown(log)));
            lines.extend(tail.into_iter().map(|line| format!("    {line}")));
        }
        lines.iter().for_each(|line| self.board.view.line(line));
    }

    /// Sets the last phases, writes the report and prints the end.
    pub(super) async fn conclude(mut self, resume: &str) -> Outcome {
        let outcome = self.outcome();
        self.board.conclude(reason_of_stopped(outcome));
        self.write_report(Some(outcome));
        self.close_history().await;
        if outcome != Outcome::Done || !self.board.entries.iter().any(|entry| entry.progress.url.is_some()) {
            println!("\n{}", self.table());
            println!("Report: {}", shown(&self.state.latest_report()));
        }
        match outcome {
            Outcome::Interrupted => println!("Stopped. To go on: {resume}"),
            Outcome::Failed(_) => println!("Failed. After mending it, go on with: {resume}"),
            Outcome::CommandFailed(code) => println!("The command of --exec ended with exit code {code}."),
            Outcome::Done => {}
        }
        outcome
    }

    /// A person who does not want to wait for the database presses Ctrl-C once more; the next run carries the rest over.
    async fn close_history(&mut self) {
        // Every task is over, so nobody else holds it.
        let Some(chronicle) = self.chronicle.take().and_then(Rc::into_inner) else { return };
        tokio::select! {
            note = chronicle.close() => {
                if let Some(note) = note {
                    self.board.view.line(&format!("note: {note}"));
                }
            }
            () = self.signals.next() => {}
        }
    }

    fn outcome(&self) -> Outcome {
        let command_code = self.executed.as_ref().map_or(0, |executed| executed.exit_code);
        match self.failed {
            Some(reason) => Outcome::Failed(reason),
            None if self.interrupted => Outcome::Interrupted,
            None if command_code != 0 => Outcome::CommandFailed(command_code),
            None => Outcome::Done,
        }
    }

    fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self.board.entries.iter().map(row).collect();
        table(&["RESOURCE", "PHASE", "REASON", "RESULT", "TIME"], &rows)
    }

    /// Draws the report. A disk that is full must not end the run.
    pub(super) fn write_report(&mut self, outcome: Option<Outcome>) {
        let summary = report::Summary {
            run_id: &self.id,
            started_at: self.started_at,
            outcome,
            entries: &self.board.entries,
            executed: self.executed.as_ref(),
        };
        if let Err(error) = report::write(&summary, &self.state) {
            self.board.view.line(&format!("warning: {}", bedplate_telemetry::chain::Chain(&error)));
        }
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    let result = match (&record.url, &record.digest) {
        (Some(url), _) => url.clone(),
        (None, Some(digest)) if record.phase == Phase::Succeeded => format!("digest {}", figures::digest(digest)),
        _ => "-".to_owned(),
    };
    let time = record.started_at.map(|started| (record.ended_at.unwrap_or_else(chrono::Utc::now) - started).to_std());
    let time = time.and_then(Result::ok).map_or("-".to_owned(), figures::duration);
    let reason = record.reason.map_or("-".to_owned(), |reason| reason.to_string());
    vec![entry.name.clone(), record.phase.to_string(), reason, result, time]
}

/// A model of a TrainingJob continues text; a model from elsewhere is taken for a chat model.
fn how_to_ask(entry: &Entry, url: &str) -> String {
    let AnyResource::ModelDeployment(deployment) = &entry.task.resource else { return String::new() };
    let name = &entry.task.key.name;
    let model = deployment.spec.served_model_name.as_ref().unwrap_or(name);
    let (path, body, command) = match deployment.spec.model {
        ServedModel::TrainingJob { .. } => (
            "completions",
            serde_json::json!({ "model": model, "prompt": "Once", "max_tokens": 32 }),
            format!("bedplate complete --deployment {name} \"Once\""),
        ),
        ServedModel::Uri { .. } => (
            "chat/completions",
            serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] }),
            format!("bedplate chat --deployment {name}"),
        ),
    };
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url);
    format!(
        "{model} answers at {url}/v1\n  {command}\n  curl {url}/v1/{path} -H 'content-type: application/json' -d '{body}'\n"
    )
}

fn last_lines(path: &Path) -> Vec<String> {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    shown.iter().map(|line| figures::one_line(line, LOG_LINE_CHARS)).collect()
}

/// A path as the person would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).display().to_string()
}
