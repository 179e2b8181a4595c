//! `bedplate status`: every resource under the state folder, as `kubectl get` would list it.
//!
//! Owns the columns. Never changes anything: a run in another terminal goes on undisturbed.

use bedplate_operator::resource::Kind;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    args::{OutputFormat, StatusArgs},
    figures,
    progress::{Progress, tail::Tail},
    state::{
        StateDir, StateError,
        records::{Phase, Reason, Record, Records},
    },
    table::table,
};

/// Stands for what is not known.
const NOTHING: &str = "-";

/// One resource, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: &'static str,
    namespace: String,
    name: String,
    phase: Phase,
    reason: Option<Reason>,
    message: Option<String>,
    step: Option<u64>,
    max_steps: Option<u64>,
    fraction: Option<f64>,
    loss: Option<f64>,
    bits_per_byte: Option<f64>,
    tokens_per_second: Option<f64>,
    url: Option<String>,
    digest: Option<String>,
    restarts: u32,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    log_files: Vec<std::path::PathBuf>,
}

/// Prints the list.
///
/// # Errors
/// When the records cannot be read.
pub fn status(args: &StatusArgs) -> Result<(), StateError> {
    let state = StateDir::at(&args.state.state_dir)?;
    let records = Records::read(&state)?;
    let in_use = state.is_in_use();
    let rows: Vec<Row> = records.iter().filter_map(|(_, record)| row(record, in_use)).collect();
    match args.output {
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(&rows).expect("rows are plain data")),
        OutputFormat::Table if rows.is_empty() => {
            println!("Nothing has run in {} yet; start with `bedplate run FILE`.", state.root().display());
        }
        OutputFormat::Table => print!("{}", columns(&rows)),
    }
    Ok(())
}

fn row(record: &Record, in_use: bool) -> Option<Row> {
    let resource = record.resource()?;
    let mut progress = Progress::default();
    Tail::from_start(&record.progress_file).read_all(|event| progress.apply(&event));
    let (phase, reason) = truth(record, in_use);
    let metadata = resource.metadata();
    let step = progress.steps.last().map(|step| &step.value);
    let running = phase == Phase::Running;
    let fraction = match resource.kind() {
        _ if phase == Phase::Succeeded => Some(1.0),
        Kind::Dataset => progress.current_stage().and_then(|stage| stage.fraction).filter(|_| running),
        Kind::TrainingJob => step.map(|step| step.step as f64 / step.max_steps.max(1) as f64),
        Kind::ModelDeployment => None,
    };
    Some(Row {
        kind: resource.kind().name(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        phase,
        reason,
        message: record.message.clone(),
        step: step.map(|step| step.step),
        max_steps: step.map(|step| step.max_steps),
        fraction,
        loss: step.map(|step| step.loss),
        bits_per_byte: progress.evaluations.last().map(|evaluation| evaluation.value.bits_per_byte),
        tokens_per_second: step.map(|step| step.tokens_per_second).filter(|_| running),
        url: record.url.clone().filter(|_| phase == Phase::Ready),
        digest: record.digest.clone(),
        restarts: record.attempts.saturating_sub(1),
        started_at: record.started_at,
        ended_at: record.ended_at,
        log_files: record.log_files.clone(),
    })
}

/// A run that was killed could not correct its records.
fn truth(record: &Record, in_use: bool) -> (Phase, Option<Reason>) {
    match record.phase {
        Phase::Pending | Phase::Running | Phase::Ready if !in_use => (Phase::Stopped, Some(Reason::RunLost)),
        phase => (phase, record.reason),
    }
}

fn columns(rows: &[Row]) -> String {
    let has_namespaces = rows.iter().any(|row| row.namespace != "default");
    let cells = |row: &Row| {
        let optional = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let name = if has_namespaces { format!("{}/{}", row.namespace, row.name) } else { row.name.clone() };
        vec![
            row.kind.to_owned(),
            name,
            row.phase.to_string(),
            optional(row.reason.map(|reason| reason.to_string())),
            optional(row.step.zip(row.max_steps).map(|(step, most)| format!("{step}/{most}"))),
            optional(row.fraction.map(|fraction| format!("{:.0}%", fraction * 100.0))),
            optional(row.loss.map(|loss| format!("{loss:.3}"))),
            optional(row.tokens_per_second.map(figures::short)),
            optional(row.url.clone()),
            optional(row.started_at.and_then(|at| (Utc::now() - at).to_std().ok()).map(figures::duration)),
        ]
    };
    let header = ["KIND", "NAME", "PHASE", "REASON", "STEP", "PROGRESS", "LOSS", "TOK/S", "URL", "AGE"];
    table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
}
