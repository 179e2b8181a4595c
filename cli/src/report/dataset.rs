//! A Dataset in the report: what went in and out of each stage, and what came of it.

use bedplate_crds::job::manifest::{DatasetManifest, Split, StageCounts};
use serde::Serialize;

use crate::{figures, run::board::Entry, state::records::output_dir};

/// Examples shown of a stage.
const EXAMPLES_SHOWN: usize = 12;
/// Characters shown of an example.
const EXAMPLE_CHARS: usize = 400;
/// Shards listed; a large Dataset has thousands, and its manifest names them all.
const SHARDS_SHOWN: usize = 24;

#[derive(Serialize)]
pub(super) struct DatasetSection {
    anchor: String,
    name: String,
    tiles: Vec<(&'static str, String)>,
    stages: Vec<StageRow>,
    splits: Vec<SplitRow>,
    packing: Option<String>,
    shards: Vec<ShardRow>,
    shards_left_out: usize,
    digest: Option<String>,
    folder: String,
}

#[derive(Serialize)]
struct StageRow {
    name: String,
    documents_in: String,
    documents_out: String,
    bytes_out: String,
    dropped: String,
    /// Share of the documents kept, in percent.
    kept_percent: f64,
    note: &'static str,
    time: Option<String>,
    /// What it left out, by what it is.
    left_out: String,
    examples: Vec<String>,
}

#[derive(Serialize)]
struct SplitRow {
    name: &'static str,
    documents: String,
    bytes: String,
    tokens: String,
    sequences: String,
    shards: String,
}

#[derive(Serialize)]
struct ShardRow {
    file: String,
    sequences: String,
    bytes: String,
    sha256: String,
}

pub(super) fn section(entry: &Entry, anchor: String) -> DatasetSection {
    let folder = output_dir(&entry.record);
    // A Dataset that is not finished has none; the stages come from its progress then.
    let manifest: Option<DatasetManifest> =
        std::fs::read(folder.join("manifest.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let all_shards = manifest.iter().flat_map(|manifest| manifest.train.shards.iter().chain(&manifest.holdout.shards));
    let shards: Vec<ShardRow> = all_shards
        .map(|shard| ShardRow {
            file: shard.file.clone(),
            sequences: figures::count(shard.sequences),
            bytes: figures::bytes(shard.bytes),
            sha256: figures::digest(&shard.sha256).to_owned(),
        })
        .collect();
    DatasetSection {
        anchor,
        name: entry.name.clone(),
        tiles: manifest.as_ref().map(tiles).unwrap_or_default(),
        stages: stages(entry, manifest.as_ref()),
        splits: manifest.iter().flat_map(splits).collect(),
        packing: manifest.as_ref().map(packing),
        shards_left_out: shards.len().saturating_sub(SHARDS_SHOWN),
        shards: shards.into_iter().take(SHARDS_SHOWN).collect(),
        digest: manifest.map(|manifest| manifest.digest),
        folder: folder.display().to_string(),
    }
}

fn tiles(manifest: &DatasetManifest) -> Vec<(&'static str, String)> {
    let DatasetManifest { train, holdout, .. } = manifest;
    let tokens = train.tokens + holdout.tokens;
    let bytes = train.bytes + holdout.bytes;
    vec![
        ("documents", figures::count(train.documents + holdout.documents)),
        ("text", figures::bytes(bytes)),
        ("tokens", figures::short(tokens as f64)),
        ("bytes per token", format!("{:.2}", bytes as f64 / tokens.max(1) as f64)),
        ("vocabulary", figures::count(manifest.vocab_size.into())),
        ("sequences", figures::count(train.sequences + holdout.sequences)),
    ]
}

/// Counts from the manifest where there is one, because it has the examples; names and times from the progress.
fn stages(entry: &Entry, manifest: Option<&DatasetManifest>) -> Vec<StageRow> {
    let progress = &entry.progress.stages;
    let Some(manifest) = manifest.filter(|_| entry.record.digest.is_some()) else {
        return progress
            .iter()
            .map(|stage| {
                let counts = StageCounts {
                    stage: stage.name.clone(),
                    documents_in: stage.documents_in,
                    documents_out: stage.documents_out,
                    bytes_in: 0,
                    bytes_out: stage.bytes_out,
                    left_out: stage.left_out.clone(),
                    examples: Vec::new(),
                };
                let note = if !stage.done {
                    "running"
                } else if stage.cached {
                    "unchanged"
                } else {
                    ""
                };
                stage_row(&counts, note, Some(stage.heard_seconds - stage.began_seconds))
            })
            .collect();
    };
    let mut reported = progress.iter();
    let row = |counts: &StageCounts| {
        let found = reported.find(|stage| stage.name == counts.stage);
        let note = if found.is_some_and(|stage| stage.cached) { "unchanged" } else { "" };
        stage_row(counts, note, found.map(|stage| stage.heard_seconds - stage.began_seconds))
    };
    manifest.stages.iter().map(row).collect()
}

fn stage_row(counts: &StageCounts, note: &'static str, seconds: Option<f64>) -> StageRow {
    let dropped = counts.documents_in.saturating_sub(counts.documents_out);
    StageRow {
        name: counts.stage.clone(),
        documents_in: figures::count(counts.documents_in),
        documents_out: figures::count(counts.documents_out),
        bytes_out: figures::bytes(counts.bytes_out),
        dropped: if dropped == 0 { "0".to_owned() } else { format!("\u{2212}{}", figures::count(dropped)) },
        kept_percent: 100.0 * (counts.documents_out as f64 / counts.documents_in.max(1) as f64).min(1.0),
        note,
        time: seconds.filter(|seconds| *seconds > 0.0).map(figures::seconds),
        left_out: cut(&figures::left_out(&counts.left_out), EXAMPLE_CHARS),
        examples: counts.examples.iter().take(EXAMPLES_SHOWN).map(|text| cut(text, EXAMPLE_CHARS)).collect(),
    }
}

fn splits(manifest: &DatasetManifest) -> [SplitRow; 2] {
    let row = |name, split: &Split| SplitRow {
        name,
        documents: figures::count(split.documents),
        bytes: figures::bytes(split.bytes),
        tokens: figures::count(split.tokens),
        sequences: figures::count(split.sequences),
        shards: figures::count(split.shards.len() as u64),
    };
    [row("train", &manifest.train), row("hold-out", &manifest.holdout)]
}

fn packing(manifest: &DatasetManifest) -> String {
    let room = manifest.train.sequences * u64::from(manifest.sequence_length);
    let filled = 100.0 * manifest.train.tokens as f64 / room.max(1) as f64;
    let mask = if manifest.document_mask { "stops" } else { "does not stop" };
    format!(
        "Sequences of {} tokens, {:.1}% of them filled; attention {mask} at document borders.",
        figures::count(manifest.sequence_length.into()),
        filled.min(100.0)
    )
}

/// The beginning of a text, with its line breaks.
pub(super) fn cut(text: &str, most_chars: usize) -> String {
    let mut beginning: String = text.chars().take(most_chars).collect();
    if text.chars().nth(most_chars).is_some() {
        beginning.push('…');
    }
    beginning
}
