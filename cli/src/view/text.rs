//! The words: what the moving line of a resource says, and which events leave a line of their own. Pure.

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent};
use bedplate_operator::resource::{Kind, ResourceKey};

use super::Live;
use crate::{figures, progress::Progress};

/// Characters of a sample shown on a line.
const SAMPLE_CHARS: usize = 60;
/// Characters of a worker's sentence shown on a line; longer ones are in the log.
const MESSAGE_CHARS: usize = 1_000;

/// `TrainingJob/tiny`, with the namespace where it is not the default one.
pub fn name(key: &ResourceKey) -> String {
    if key.namespace == "default" {
        format!("{}/{}", key.kind, key.name)
    } else {
        format!("{}/{}/{}", key.kind, key.namespace, key.name)
    }
}

/// The moving line.
pub fn live(kind: Kind, progress: &Progress) -> Live {
    match kind {
        Kind::Dataset => dataset(progress),
        Kind::TrainingJob => training(progress),
        Kind::ModelDeployment => Live {
            fraction: None,
            told: progress.url.is_some(),
            text: progress.url.as_ref().map_or("loading the model".to_owned(), |url| format!("serving at {url}")),
        },
    }
}

fn dataset(progress: &Progress) -> Live {
    let Some(stage) = progress.current_stage() else {
        return Live { text: "starting".to_owned(), ..Live::default() };
    };
    let text = format!(
        "{:<10} {} documents, {}",
        figures::one_line(&stage.name, SAMPLE_CHARS),
        figures::count(stage.documents_out),
        figures::bytes(stage.bytes_out)
    );
    Live { fraction: stage.fraction.or(stage.done.then_some(1.0)), text, told: stage.done }
}

fn training(progress: &Progress) -> Live {
    let Some(last) = progress.steps.last().filter(|_| progress.steps_taken > 0) else {
        return Live { text: "starting".to_owned(), ..Live::default() };
    };
    let step = &last.value;
    let eta = progress.remaining_seconds().map_or(String::new(), |left| format!("  ETA {}", figures::seconds(left)));
    let text = format!(
        "step {}/{}  loss {:.3}  lr {}  {} tokens/s{eta}",
        step.step,
        step.max_steps,
        step.loss,
        figures::scientific(step.learning_rate),
        figures::short(step.tokens_per_second),
    );
    Live { fraction: Some(step.step as f64 / step.max_steps.max(1) as f64), text, told: false }
}

/// The line that an event leaves, if any.
pub fn milestone(event: &ProgressEvent) -> Option<String> {
    match &event.body {
        ProgressBody::Stage { stage, documents_in, documents_out, bytes_out, left_out, cached, done: true, .. } => {
            let name = figures::one_line(stage, SAMPLE_CHARS);
            let (before, after) = (figures::count(*documents_in), figures::count(*documents_out));
            let cached = if *cached { "  unchanged" } else { "" };
            let left_out = match figures::left_out(left_out) {
                none if none.is_empty() => none,
                some => figures::one_line(&format!("; left out: {some}"), MESSAGE_CHARS),
            };
            let bytes = figures::bytes(*bytes_out);
            Some(format!("{name:<10} {before} -> {after} documents, {bytes}{cached}{left_out}"))
        }
        ProgressBody::Plan { bytes, parameters } => {
            let total = figures::bytes(bytes.values().sum());
            Some(format!("{} parameters, {total} of memory", figures::short(*parameters as f64)))
        }
        ProgressBody::Evaluation { step, loss, bits_per_byte, .. } => {
            Some(format!("step {step}  held-out {bits_per_byte:.3} bits per byte, loss {loss:.3}"))
        }
        ProgressBody::Checkpoint { step, bytes, .. } => {
            Some(format!("step {step}  checkpoint written, {}", figures::bytes(*bytes)))
        }
        ProgressBody::Sample { step, prompt, completion } => {
            let text = figures::one_line(&format!("{prompt}{completion}"), SAMPLE_CHARS);
            Some(format!("step {step}  sample: {text}"))
        }
        ProgressBody::Ready { url } => Some(format!("ready at {}", figures::one_line(url, MESSAGE_CHARS))),
        ProgressBody::Started { .. }
        | ProgressBody::Stage { .. }
        | ProgressBody::Step(_)
        | ProgressBody::Completed { .. }
        | ProgressBody::Failed { .. } => None,
    }
}

/// A worker's sentence, fit for a line.
pub fn message(text: &str) -> String {
    figures::one_line(text.trim(), MESSAGE_CHARS)
}
