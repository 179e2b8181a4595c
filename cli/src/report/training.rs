//! A TrainingJob in the report: its curves, what it said on the way, and what it left.

use bedplate_crds::{
    job::progress::StepMetrics,
    training_job::{ModelSource, TrainingJobSpec},
    uri::ShownUri,
};
use bedplate_operator::resource::AnyResource;
use serde::Serialize;

use super::{
    chart::{Chart, Look, Series, smooth},
    dataset::cut,
};
use crate::{
    figures,
    progress::{MemoryPlan, Progress},
    run::board::Entry,
};

/// Samples shown, evenly over the training, the last one always.
const SAMPLES_SHOWN: usize = 8;
/// Characters shown of a sample.
const SAMPLE_CHARS: usize = 800;

#[derive(Serialize)]
pub(super) struct TrainingSection {
    anchor: String,
    name: String,
    tiles: Vec<(&'static str, String)>,
    charts: Vec<ChartCard>,
    samples: Vec<SampleRow>,
    memory: Option<Memory>,
    checkpoints: Vec<CheckpointRow>,
    recipe: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct ChartCard {
    title: &'static str,
    unit: &'static str,
    last: Option<String>,
    svg: Option<String>,
}

#[derive(Serialize)]
struct SampleRow {
    step: String,
    prompt: String,
    completion: String,
}

#[derive(Serialize)]
struct Memory {
    total: String,
    parts: Vec<MemoryPart>,
}

#[derive(Serialize)]
struct MemoryPart {
    name: String,
    bytes: String,
    percent: f64,
}

#[derive(Serialize)]
struct CheckpointRow {
    step: String,
    bytes: String,
    digest: String,
    path: String,
}

pub(super) fn section(entry: &Entry, anchor: String) -> Option<TrainingSection> {
    let AnyResource::TrainingJob(job) = &entry.task.resource else { return None };
    let progress = &entry.progress;
    Some(TrainingSection {
        anchor,
        name: entry.name.clone(),
        tiles: tiles(progress),
        charts: charts(progress, &job.spec),
        samples: samples(progress),
        memory: progress.plan.as_ref().map(memory),
        checkpoints: progress.checkpoints.iter().rev().map(|checkpoint| checkpoint_row(&checkpoint.value)).collect(),
        recipe: recipe(&job.spec),
    })
}

fn tiles(progress: &Progress) -> Vec<(&'static str, String)> {
    let mut tiles = Vec::new();
    if let Some(last) = progress.evaluations.last() {
        tiles.push(("held-out bits per byte", format!("{:.3}", last.value.bits_per_byte)));
    }
    if let Some(last) = progress.steps.last().map(|step| &step.value) {
        tiles.push(("loss, nats per token", format!("{:.3}", last.loss)));
        tiles.push(("steps", format!("{} of {}", figures::count(last.step), figures::count(last.max_steps))));
        tiles.push(("tokens seen", figures::short(last.tokens as f64)));
        tiles.push(("tokens per second", figures::short(median_throughput(progress))));
    }
    if let Some(plan) = &progress.plan {
        tiles.push(("parameters", figures::short(plan.parameters as f64)));
    }
    tiles
}

fn median_throughput(progress: &Progress) -> f64 {
    let mut rates: Vec<f64> = progress.steps.iter().map(|step| step.value.tokens_per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn charts(progress: &Progress, spec: &TrainingJobSpec) -> Vec<ChartCard> {
    let curve = |value: fn(&StepMetrics) -> f64| -> Vec<(f64, f64)> {
        progress.steps.iter().map(|step| (step.value.step as f64, value(&step.value))).collect()
    };
    let (loss, rate) = (curve(|step| step.loss), curve(|step| step.learning_rate));
    let (norm, throughput) = (curve(|step| step.grad_norm), curve(|step| step.tokens_per_second));
    let evaluations = &progress.evaluations;
    let held_out: Vec<(f64, f64)> =
        evaluations.iter().map(|point| (point.value.step as f64, point.value.loss)).collect();
    let bits: Vec<(f64, f64)> =
        evaluations.iter().map(|point| (point.value.step as f64, point.value.bits_per_byte)).collect();
    let clip = Some(spec.optimizer.max_grad_norm).filter(|norm| *norm > 0.0);
    vec![
        card(
            "Loss",
            "nats per token; dots: held-out",
            three_decimals,
            false,
            None,
            vec![
                Series { label: "step", points: loss.clone(), look: Look::Faint },
                Series { label: "smoothed", points: smooth(&loss), look: Look::Line },
                Series { label: "held-out", points: held_out, look: Look::Dots },
            ],
        ),
        card(
            "Held-out",
            "bits per byte",
            three_decimals,
            false,
            None,
            vec![Series { label: "bits per byte", points: bits, look: Look::Dots }],
        ),
        card(
            "Learning rate",
            "of each step",
            short_scientific,
            true,
            None,
            vec![Series { label: "learning rate", points: rate, look: Look::Line }],
        ),
        card("Gradient norm", "before clipping; dashed: the limit", three_decimals, true, clip, with_smoothed(&norm)),
        card("Throughput", "tokens per second", trimmed_short, true, None, with_smoothed(&throughput)),
    ]
}

fn with_smoothed(points: &[(f64, f64)]) -> Vec<Series> {
    vec![
        Series { label: "step", points: points.to_vec(), look: Look::Faint },
        Series { label: "smoothed", points: smooth(points), look: Look::Line },
    ]
}

fn card(
    title: &'static str,
    unit: &'static str,
    write_value: fn(f64) -> String,
    from_zero: bool,
    level: Option<f64>,
    series: Vec<Series>,
) -> ChartCard {
    let main = series.iter().find(|series| series.look == Look::Line);
    let last = main.or(series.last());
    let last = last.and_then(|series| series.points.last()).map(|point| write_value(point.1));
    ChartCard { title, unit, last, svg: Chart { series, write_value, level, from_zero }.svg() }
}

fn three_decimals(value: f64) -> String {
    trimmed(&format!("{value:.3}"), "")
}

fn trimmed_short(value: f64) -> String {
    let text = figures::short(value);
    let digits = text.trim_end_matches(char::is_alphabetic);
    trimmed(digits, &text[digits.len()..])
}

/// Without zeros after the point: `8k` on an axis, not `8.00k`.
fn trimmed(digits: &str, unit: &str) -> String {
    if !digits.contains('.') {
        return format!("{digits}{unit}");
    }
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn short_scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { figures::scientific(value) }
}

fn samples(progress: &Progress) -> Vec<SampleRow> {
    let all = &progress.samples;
    let every = all.len().div_ceil(SAMPLES_SHOWN).max(1);
    // Counted from the end, so that the last one is always there; shown newest first.
    let shown = all.iter().rev().step_by(every);
    shown
        .map(|sample| SampleRow {
            step: figures::count(sample.value.step),
            prompt: cut(&sample.value.prompt, SAMPLE_CHARS),
            completion: cut(sample.value.completion.trim_end(), SAMPLE_CHARS),
        })
        .collect()
}

fn memory(plan: &MemoryPlan) -> Memory {
    let total: u64 = plan.bytes.values().sum();
    let mut parts: Vec<(&String, &u64)> = plan.bytes.iter().collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let part = |(name, bytes): (&String, &u64)| MemoryPart {
        name: name.clone(),
        bytes: figures::bytes(*bytes),
        percent: 100.0 * *bytes as f64 / total.max(1) as f64,
    };
    Memory { total: figures::bytes(total), parts: parts.into_iter().map(part).collect() }
}

fn checkpoint_row(checkpoint: &crate::progress::Checkpoint) -> CheckpointRow {
    CheckpointRow {
        step: figures::count(checkpoint.step),
        bytes: figures::bytes(checkpoint.bytes),
        digest: figures::digest(&checkpoint.digest).to_owned(),
        path: checkpoint.path.clone(),
    }
}

fn recipe(spec: &TrainingJobSpec) -> Vec<(&'static str, String)> {
    let model = match &spec.model {
        ModelSource::Config { config } => format!(
            "{} layers, width {}, {} heads ({} of keys and values), feed-forward {}",
            config.num_hidden_layers,
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads.unwrap_or(config.num_attention_heads),
            config.intermediate_size
        ),
        ModelSource::TrainingJob { name } => format!("continues TrainingJob {name}"),
        ModelSource::Uri { uri } => format!("continues {}", ShownUri::new(uri)),
    };
    let data: Vec<String> =
        spec.data.iter().map(|source| format!("{} (weight {})", source.dataset, source.weight)).collect();
    let schedule = &spec.schedule;
    let optimizer = &spec.optimizer;
    vec![
        ("model", model),
        ("data", data.join(", ")),
        ("batch", format!("{} sequences a step, {} at a time", schedule.global_batch_size, schedule.micro_batch_size)),
        (
            "learning rate",
            format!(
                "{} to {}, {:?}, {} warm-up steps",
                figures::scientific(schedule.learning_rate),
                figures::scientific(schedule.learning_rate * schedule.min_learning_rate_ratio),
                schedule.lr_scheduler_type,
                schedule.warmup_steps
            )
            .to_lowercase(),
        ),
        (
            "optimizer",
            format!(
                "AdamW, betas {} and {}, weight decay {}, gradients clipped to {}",
                optimizer.beta1, optimizer.beta2, optimizer.weight_decay, optimizer.max_grad_norm
            ),
        ),
        ("processes", spec.parallelism.data.to_string()),
        ("seed", schedule.seed.to_string()),
    ]
}
