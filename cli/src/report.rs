//! `report.html`: what a run did, in one file that needs nothing else.
//!
//! Owns the page and its place. The template escapes whatever it is given, since documents may hold anything; only the
//! curves, which are made of numbers, go in as they are. Never asks a worker anything: all it shows is in the progress
//! files and the manifests.

mod chart;
mod dataset;
mod deployment;
mod lineage;
mod training;

use bedplate_operator::resource::Kind;
use chrono::{DateTime, Utc};
use minijinja::{Environment, value::Serde};
use serde::Serialize;

use crate::{
    figures,
    outcome::Outcome,
    run::{board::Entry, exec::Executed},
    state::{StateDir, StateError, file_stem, records::Phase, write_whole},
    version,
};

/// The template's name tells the engine to escape HTML.
const TEMPLATE_NAME: &str = "page.html";
const TEMPLATE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The template and its data do not fit: a fault of this program.
    #[error("could not draw the report")]
    Draw(#[from] minijinja::Error),
    /// The disk does not take it.
    #[error(transparent)]
    Write(#[from] StateError),
}

/// What a report is drawn from.
pub struct Summary<'a> {
    /// The run.
    pub run_id: &'a str,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How it went; none while it goes on.
    pub outcome: Option<Outcome>,
    /// The resources, in the order of the plan.
    pub entries: &'a [Entry],
    /// The command of `--exec`.
    pub executed: Option<&'a Executed>,
}

/// What the template is given.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    version: String,
    run_id: &'a str,
    /// Each once, in the order of the plan.
    names: Vec<&'a str>,
    running: bool,
    state: String,
    class: &'static str,
    started: String,
    duration: String,
    resources: Vec<ResourceRow>,
    lineage: Option<lineage::Lineage>,
    datasets: Vec<dataset::DatasetSection>,
    trainings: Vec<training::TrainingSection>,
    deployments: Vec<deployment::DeploymentSection>,
    executed: Option<Executed>,
}

/// A line of the overview.
#[derive(Serialize)]
struct ResourceRow {
    anchor: String,
    name: String,
    phase: String,
    class: &'static str,
    reason: Option<String>,
    message: Option<String>,
    digest: Option<String>,
    url: Option<String>,
    time: Option<String>,
}

/// Writes the report of a run, and the copy that is the newest.
///
/// # Errors
/// When it cannot be drawn or the disk does not take it.
pub fn write(summary: &Summary<'_>, state: &StateDir) -> Result<(), ReportError> {
    let page = draw(summary)?;
    write_whole(&state.run_dir(summary.run_id).join("report.html"), page.as_bytes())?;
    Ok(write_whole(&state.latest_report(), page.as_bytes())?)
}

/// The page.
///
/// # Errors
/// When template and data do not fit.
pub fn draw(summary: &Summary<'_>) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.add_template(TEMPLATE_NAME, TEMPLATE)?;
    let of_kind = |kind| summary.entries.iter().filter(move |entry| entry.task.key.kind == kind);
    let (state, class) = state(summary.outcome);
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        version: version::line(),
        run_id: summary.run_id,
        names: names(summary.entries),
        running: summary.outcome.is_none(),
        state,
        class,
        started: summary.started_at.format("%-d %B %Y, %H:%M UTC").to_string(),
        duration: (Utc::now() - summary.started_at).to_std().map(figures::duration).unwrap_or_default(),
        resources: summary.entries.iter().map(resource_row).collect(),
        lineage: lineage::lineage(summary.entries),
        datasets: of_kind(Kind::Dataset).map(|entry| dataset::section(entry, anchor(entry))).collect(),
        trainings: of_kind(Kind::TrainingJob).filter_map(|entry| training::section(entry, anchor(entry))).collect(),
        deployments: of_kind(Kind::ModelDeployment)
            .filter_map(|entry| deployment::section(entry, anchor(entry)))
            .collect(),
        executed: summary.executed.cloned(),
    };
    Ok(environment.get_template(TEMPLATE_NAME)?.render(Serde(&page))?)
}

fn names(entries: &[Entry]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for entry in entries {
        if !names.contains(&entry.task.key.name.as_str()) {
            names.push(&entry.task.key.name);
        }
    }
    names
}

fn anchor(entry: &Entry) -> String {
    file_stem(&entry.task.key)
}

fn resource_row(entry: &Entry) -> ResourceRow {
    let record = &entry.record;
    let lasted = |started: DateTime<Utc>| (record.ended_at.unwrap_or_else(Utc::now) - started).to_std().ok();
    let digest = record.digest.clone().filter(|_| record.phase == Phase::Succeeded);
    ResourceRow {
        anchor: anchor(entry),
        name: entry.name.clone(),
        phase: record.phase.to_string(),
        class: class(record.phase),
        reason: record.reason.map(|reason| reason.to_string()),
        message: record.message.clone().filter(|_| record.phase == Phase::Failed),
        digest,
        url: record.url.clone(),
        time: record.started_at.and_then(lasted).map(figures::duration),
    }
}

fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Succeeded | Phase::Ready => "good",
        Phase::Failed => "bad",
        Phase::Running => "live",
        Phase::Pending | Phase::Stopped | Phase::Suspended => "still",
    }
}

fn state(outcome: Option<Outcome>) -> (String, &'static str) {
    match outcome {
        None => ("Running".to_owned(), "live"),
        Some(Outcome::Done) => ("Done".to_owned(), "good"),
        Some(Outcome::Interrupted) => ("Stopped; the same command resumes".to_owned(), "still"),
        Some(Outcome::Failed(reason)) => (format!("Failed: {reason}"), "bad"),
        Some(Outcome::CommandFailed(code)) => (format!("Done; the command ended with exit code {code}"), "bad"),
    }
}
