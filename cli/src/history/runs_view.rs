//! Runs as a person reads them in a terminal: the list, and one run in full. Pure text from values.

use bedplate_operator::store::{AttemptDetail, LossPoint, RunDetail, RunSummary};
use chrono::{DateTime, Local, Utc};

use crate::{figures, table::table};

/// What stands where nothing is known.
const NOTHING: &str = "-";
/// Characters of a failure that are shown; the log has the rest.
const MAX_FAILURE_CHARS: usize = 300;
/// Heights of a curve in one line.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const LIST_HEADER: [&str; 11] =
    ["RUN", "KIND", "NAME", "ATTEMPTS", "STATUS", "STEPS", "LOSS", "BITS/BYTE", "STARTED", "DURATION", "DIGEST"];

/// The list of runs.
pub(super) fn list(runs: &[RunSummary], now: DateTime<Utc>) -> String {
    if runs.is_empty() {
        return "No runs yet.\n".to_owned();
    }
    let several_namespaces = runs.iter().any(|run| run.namespace != runs[0].namespace);
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let name = if several_namespaces { format!("{}/{}", run.namespace, run.name) } else { run.name.clone() };
            vec![
                run_id(run),
                run.kind.clone(),
                name,
                run.attempts.to_string(),
                run.status.word().to_owned(),
                steps(run.step, run.max_steps),
                run.loss.map_or_else(nothing, |loss| format!("{loss:.3}")),
                run.bits_per_byte.map_or_else(nothing, |bits| format!("{bits:.3}")),
                time(run.started_at),
                duration(run.started_at, run.ended_at, now),
                run.digest.as_deref().map_or_else(nothing, |digest| figures::digest(digest).to_owned()),
            ]
        })
        .collect();
    table(&LIST_HEADER, &rows)
}

/// One run in full.
pub(super) fn detail(run: &RunDetail, now: DateTime<Utc>) -> String {
    let RunDetail { summary, attempt_details, evaluations, checkpoints, stages, losses } = run;
    let mut text = format!(
        "{} {}/{}   {}   run {}\n",
        summary.kind,
        summary.namespace,
        summary.name,
        summary.status.word(),
        run_id(summary)
    );
    section(&mut text, "Attempts", &attempts(attempt_details, now));
    for (number, attempt) in (1..).zip(attempt_details) {
        if let Some(failure) = &attempt.failure {
            text.push_str(&format!("attempt {number}: {}\n", figures::one_line(failure, MAX_FAILURE_CHARS)));
        }
    }
    section(&mut text, "Stages", &stage_table(stages));
    section(&mut text, "Loss", &curve(losses));
    section(&mut text, "Hold-out", &evaluation_table(evaluations));
    section(&mut text, "Checkpoints", &checkpoint_table(checkpoints));
    text
}

fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        text.push_str(&format!("\n{title}\n{body}"));
    }
}

fn attempts(attempts: &[AttemptDetail], now: DateTime<Utc>) -> String {
    let row = |(number, attempt): (usize, &AttemptDetail)| {
        let range = attempt.first_step.zip(attempt.last_step).map(|(first, last)| format!("{first}-{last}"));
        let outcome = attempt.digest.as_deref().map(|digest| figures::digest(digest).to_owned());
        vec![
            number.to_string(),
            attempt.status.word().to_owned(),
            range.unwrap_or_else(nothing),
            attempt.tokens_per_second.map_or_else(nothing, figures::short),
            time(attempt.started_at),
            duration(attempt.started_at, attempt.ended_at, now),
            attempt.exit_code.map_or_else(nothing, |code| code.to_string()),
            outcome.or_else(|| attempt.endpoint.clone()).unwrap_or_else(nothing),
        ]
    };
    let rows: Vec<_> = (1..).zip(attempts).map(row).collect();
    table(&["ATTEMPT", "STATUS", "STEPS", "TOKENS/S", "STARTED", "DURATION", "EXIT", "RESULT"], &rows)
}

fn stage_table(stages: &[bedplate_operator::store::StageDetail]) -> String {
    let rows: Vec<_> = stages
        .iter()
        .map(|stage| {
            let state = match (stage.done, stage.cached) {
                (true, true) => "cached",
                (true, false) => "done",
                (false, _) => "running",
            };
            vec![
                stage.stage.clone(),
                figures::count(stage.documents_in.unsigned_abs()),
                figures::count(stage.documents_out.unsigned_abs()),
                figures::bytes(stage.bytes_out.unsigned_abs()),
                state.to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["STAGE", "DOCUMENTS IN", "DOCUMENTS OUT", "BYTES OUT", "STATE"], &rows)
}

fn evaluation_table(evaluations: &[bedplate_operator::store::EvaluationDetail]) -> String {
    let row = |e: &bedplate_operator::store::EvaluationDetail| {
        vec![e.step.to_string(), format!("{:.4}", e.loss), format!("{:.4}", e.bits_per_byte), time(e.at)]
    };
    let rows: Vec<_> = evaluations.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["STEP", "LOSS", "BITS/BYTE", "AT"], &rows) }
}

fn checkpoint_table(checkpoints: &[bedplate_operator::store::CheckpointDetail]) -> String {
    let row = |c: &bedplate_operator::store::CheckpointDetail| {
        let size = figures::bytes(c.size_bytes.unsigned_abs());
        vec![c.step.to_string(), size, figures::digest(&c.digest).to_owned(), time(c.at), c.path.clone()]
    };
    let rows: Vec<_> = checkpoints.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["STEP", "SIZE", "DIGEST", "AT", "PATH"], &rows) }
}

/// The loss in one line: first, curve, last.
fn curve(losses: &[LossPoint]) -> String {
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else { return String::new() };
    let bars: String = sparkline(&losses.iter().map(|point| point.loss).collect::<Vec<_>>());
    format!("{:.3} {bars} {:.3}   to step {}\n", first.loss, last.loss, last.step)
}

/// One bar a value, between the smallest and the largest; what is not a number is a gap.
fn sparkline(values: &[f64]) -> String {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bar = |value: &f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 0 to 1 times 7")]
        let height = (share * (BARS.len() - 1) as f64).round() as usize;
        if value.is_finite() { BARS[height.min(BARS.len() - 1)] } else { ' ' }
    };
    values.iter().map(bar).collect()
}

fn run_id(run: &RunSummary) -> String {
    run.id.simple().to_string()[..8].to_owned()
}

fn steps(step: Option<i64>, max_steps: Option<i64>) -> String {
    match (step, max_steps) {
        (Some(step), Some(max)) => format!("{step}/{max}"),
        (Some(step), None) => step.to_string(),
        _ => nothing(),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn duration(from: DateTime<Utc>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    figures::duration((to.unwrap_or(now) - from).to_std().unwrap_or_default())
}

fn nothing() -> String {
    NOTHING.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_draws_a_falling_line() {
        assert_eq!(sparkline(&[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), "█▇▆▅▄▃▂▁");
        assert_eq!(sparkline(&[2.0, 2.0]), "▁▁");
        assert_eq!(sparkline(&[1.0, f64::NAN, 0.0]), "█ ▁");
        assert_eq!(sparkline(&[]), "");
    }
}
