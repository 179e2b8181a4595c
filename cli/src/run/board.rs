//! Where every resource of the run stands: its record, its progress and its line on the terminal, kept in step.
//!
//! Owns `state.json` while the run holds the lock. Never starts or stops anything.

use bedplate_crds::{
    job::progress::{ProgressBody, ProgressEvent},
    uri::hide_secrets,
};
use chrono::Utc;

use super::told::{Ending, Failure, Update};
use crate::{
    plan::Task,
    progress::{Progress, tail::Tail},
    state::{
        StateDir,
        records::{Phase, Reason, Record, Records, to_manifest},
    },
    view::{View, text},
};

/// One resource.
#[derive(Debug)]
pub struct Entry {
    /// What is done for it.
    pub task: Task,
    /// As people read it.
    pub name: String,
    /// What its worker has reported, earlier runs included.
    pub progress: Progress,
    /// What other commands read.
    pub record: Record,
}

/// All of them, in the order of the plan.
pub struct Board {
    /// The resources.
    pub entries: Vec<Entry>,
    /// The terminal.
    pub view: Box<dyn View>,
    records: Records,
    state: StateDir,
    told_unwritable: bool,
}

impl Board {
    /// Everything waits.
    pub fn new(tasks: Vec<Task>, run_id: &str, records: Records, state: StateDir) -> Self {
        let entries: Vec<Entry> = tasks.into_iter().map(|task| entry(task, run_id, &state)).collect();
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        let mut board = Self { entries, view: crate::view::open(&names), records, state, told_unwritable: false };
        board.write();
        board
    }

    /// A resource that waits waits for this.
    pub fn waits(&mut self, row: usize, reason: Reason) {
        self.entries[row].record.reason = Some(reason);
    }

    /// Takes in what a task tells.
    pub fn apply(&mut self, row: usize, update: &Update) {
        let entry = &mut self.entries[row];
        match update {
            Update::Started { attempt, processes } => {
                entry.record.phase = Phase::Running;
                entry.record.reason = None;
                entry.record.attempts = *attempt;
                entry.record.started_at.get_or_insert_with(Utc::now);
                entry.record.processes = processes.clone();
                self.view.begin(row, &entry.name);
                self.view.show(row, &text::live(entry.task.key.kind, &Progress::default()));
                self.write();
            }
            Update::Events(events) => self.apply_events(row, events),
            Update::AttemptEnded => {
                entry.record.processes.clear();
                self.write();
            }
            Update::Warning(text) => self.view.line(&format!("warning: {text}")),
            Update::Restarting { failure, pause, left } => {
                entry.record.reason = Some(Reason::Restarting);
                entry.record.message = Some(failure.message.clone());
                let message = text::message(&failure.message);
                let line = format!(
                    "{}  failed ({}): {message}; starts again in {}, {left} restarts left",
                    entry.name,
                    failure.reason,
                    crate::figures::duration(*pause)
                );
                self.view.line(&line);
                self.write();
            }
        }
    }

    fn apply_events(&mut self, row: usize, events: &[ProgressEvent]) {
        let width = self.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
        let entry = &mut self.entries[row];
        let mut became_ready = false;
        for event in events {
            entry.progress.apply(event);
            if let Some(line) = text::milestone(event) {
                self.view.line(&format!("{:<width$}  {line}", entry.name));
            }
            became_ready |= matches!(event.body, ProgressBody::Ready { .. });
        }
        if became_ready {
            entry.record.phase = Phase::Ready;
            entry.record.url = entry.progress.url.clone();
        }
        self.view.show(row, &text::live(entry.task.key.kind, &entry.progress));
        if became_ready {
            self.write();
        }
    }

    /// A task is over.
    pub fn end(&mut self, row: usize, ending: &Ending) {
        let entry = &mut self.entries[row];
        entry.record.processes.clear();
        entry.record.ended_at = Some(Utc::now());
        entry.record.url = None;
        match ending {
            Ending::Succeeded => {
                entry.record.phase = Phase::Succeeded;
                entry.record.reason = (!entry.progress.worked).then_some(Reason::UpToDate);
                entry.record.message = None;
                entry.record.digest = entry.progress.completed.clone();
            }
            Ending::Failed(Failure { reason, message, .. }) => {
                entry.record.phase = Phase::Failed;
                entry.record.reason = Some(*reason);
                entry.record.message = Some(message.clone());
            }
            Ending::Stopped => entry.record.phase = Phase::Stopped,
        }
        self.view.end(row);
        self.write();
    }

    /// The run is over: what has not ended is stopped for this reason.
    pub fn conclude(&mut self, reason: Reason) {
        for (row, entry) in self.entries.iter_mut().enumerate() {
            if matches!(entry.record.phase, Phase::Stopped | Phase::Pending | Phase::Running | Phase::Ready) {
                entry.record.phase = Phase::Stopped;
                entry.record.reason = Some(reason);
            }
            self.view.end(row);
        }
        self.write();
    }

    /// Writes the records. A disk that is full must not end the run: the workers fail by themselves if they need it.
    fn write(&mut self) {
        for entry in &self.entries {
            self.records.put(&entry.task.key, entry.record.clone());
        }
        if let Err(error) = self.records.write(&self.state)
            && !std::mem::replace(&mut self.told_unwritable, true)
        {
            self.view.line(&format!("warning: {}", bedplate_telemetry::chain::Chain(&error)));
        }
    }
}

fn entry(task: Task, run_id: &str, state: &StateDir) -> Entry {
    let mut progress = Progress::default();
    Tail::from_start(task.job.progress_file()).read_all(|event| progress.apply(&event));
    let ranks = task.job.ranks();
    let (phase, reason) =
        if task.suspended { (Phase::Suspended, Reason::Suspended) } else { (Phase::Pending, Reason::WaitingForTurn) };
    let mut manifest = to_manifest(&task.resource);
    // The record outlives the run, and tells others of it.
    hide_secrets(&mut manifest);
    let record = Record {
        manifest,
        phase,
        reason: Some(reason),
        message: None,
        run_id: run_id.to_owned(),
        started_at: None,
        ended_at: None,
        attempts: 0,
        digest: progress.completed.clone(),
        url: None,
        progress_file: task.job.progress_file().to_path_buf(),
        log_files: (0..ranks).map(|rank| state.log_file(run_id, &task.key, rank, ranks)).collect(),
        processes: Vec::new(),
    };
    Entry { name: text::name(&task.key), task, progress, record }
}
