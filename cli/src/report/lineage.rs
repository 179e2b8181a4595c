//! Where each thing came from, as boxes and arrows: dataset digest, training, checkpoint, deployment.
//!
//! Owns places and sizes; the page draws them.

use bedplate_crds::{model_deployment::ServedModel, training_job::ModelSource, uri::ShownUri};
use bedplate_operator::resource::{AnyResource, Kind, ResourceKey};
use serde::Serialize;

use crate::{figures, run::board::Entry};

/// Width and height of a box.
const BOX: (f64, f64) = (214.0, 62.0);
/// Space between two boxes, across and down.
const GAP: (f64, f64) = (54.0, 18.0);
/// Characters that fit a box: of its name, and of the smaller line below.
const BOX_CHARS: (usize, usize) = (19, 26);

/// The diagram.
#[derive(Serialize)]
pub(super) struct Lineage {
    width: f64,
    height: f64,
    nodes: Vec<Node>,
    edges: Vec<String>,
}

#[derive(Serialize)]
struct Node {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    class: &'static str,
    caption: &'static str,
    title: String,
    detail: String,
}

/// A box before it has a place.
struct Item {
    id: String,
    class: &'static str,
    caption: &'static str,
    title: String,
    detail: String,
    from: Vec<String>,
}

/// The diagram of a run; none where nothing leads anywhere.
pub(super) fn lineage(entries: &[Entry]) -> Option<Lineage> {
    let items: Vec<Item> = entries.iter().flat_map(items).collect();
    let cells = cells(&items);
    let places: Vec<(f64, f64)> =
        cells.iter().map(|(column, row)| (*column as f64 * (BOX.0 + GAP.0), *row as f64 * (BOX.1 + GAP.1))).collect();
    let edges: Vec<String> = (0..items.len())
        .flat_map(|to| {
            (0..to).filter(|from| items[to].from.contains(&items[*from].id)).map(|from| (from, to)).collect::<Vec<_>>()
        })
        .map(|(from, to)| arrow(places[from], places[to]))
        .collect();
    let width = places.iter().map(|place| place.0).fold(0.0, f64::max) + BOX.0;
    let height = places.iter().map(|place| place.1).fold(0.0, f64::max) + BOX.1;
    let nodes: Vec<Node> = items.into_iter().zip(&places).map(|(item, place)| node(item, *place)).collect();
    (!edges.is_empty()).then_some(Lineage { width, height, nodes, edges })
}

/// Column and row of each: right of all it comes from, and level with the first of them where that is free.
fn cells(items: &[Item]) -> Vec<(usize, usize)> {
    let mut cells: Vec<(usize, usize)> = Vec::new();
    for item in items {
        let before: Vec<(usize, usize)> = (items.iter().zip(&cells))
            .filter(|(earlier, _)| item.from.contains(&earlier.id))
            .map(|(_, cell)| *cell)
            .collect();
        let column = before.iter().map(|cell| cell.0 + 1).max().unwrap_or_default();
        let free = cells.iter().filter(|cell| cell.0 == column).map(|cell| cell.1 + 1).max().unwrap_or_default();
        let level = before.iter().map(|cell| cell.1).min().unwrap_or_default();
        cells.push((column, level.max(free)));
    }
    cells
}

fn items(entry: &Entry) -> Vec<Item> {
    let key = &entry.task.key;
    let name = key.name.clone();
    let digest = entry.record.digest.as_deref();
    let digest_line = digest.map_or("not finished".to_owned(), |digest| format!("digest {}", figures::digest(digest)));
    let waits_for: Vec<String> = entry.task.resource.dependencies().iter().map(artefact).collect();
    match &entry.task.resource {
        AnyResource::Dataset(_) => vec![Item {
            id: artefact(key),
            class: "dataset",
            caption: "Dataset",
            title: name,
            detail: digest_line,
            from: Vec::new(),
        }],
        AnyResource::TrainingJob(job) => {
            let mut from = waits_for;
            let outside = match &job.spec.model {
                ModelSource::Uri { uri } => Some(outside(uri)),
                ModelSource::Config { .. } | ModelSource::TrainingJob { .. } => None,
            };
            from.extend(outside.iter().map(|item| item.id.clone()));
            let steps = entry.progress.steps.last().map_or("no step yet".to_owned(), |step| {
                format!("{} steps, loss {:.3}", figures::count(step.value.step), step.value.loss)
            });
            let run = key.to_string();
            let newest = entry.progress.checkpoints.last();
            let newest = newest.map_or(digest_line.clone(), |checkpoint| {
                format!("digest {}", figures::digest(digest.unwrap_or(&checkpoint.value.digest)))
            });
            let training = Item {
                id: run.clone(),
                class: "training",
                caption: "TrainingJob",
                title: name.clone(),
                detail: steps,
                from,
            };
            let checkpoint = Item {
                id: artefact(key),
                class: "checkpoint",
                caption: "Checkpoint",
                title: name,
                detail: newest,
                from: vec![run],
            };
            outside.into_iter().chain([training, checkpoint]).collect()
        }
        AnyResource::ModelDeployment(deployment) => {
            let outside = match &deployment.spec.model {
                ServedModel::Uri { uri } => Some(outside(uri)),
                ServedModel::TrainingJob { .. } => None,
            };
            let from = waits_for.into_iter().chain(outside.iter().map(|item| item.id.clone())).collect();
            let detail = entry.progress.url.clone().unwrap_or_else(|| "not ready".to_owned());
            let served = Item {
                id: key.to_string(),
                class: "deployment",
                caption: "ModelDeployment",
                title: name,
                detail,
                from,
            };
            outside.into_iter().chain([served]).collect()
        }
    }
}

/// What others build on: of a TrainingJob its checkpoint, of anything else itself.
fn artefact(key: &ResourceKey) -> String {
    match key.kind {
        Kind::TrainingJob => format!("checkpoint of {key}"),
        Kind::Dataset | Kind::ModelDeployment => key.to_string(),
    }
}

/// A model from elsewhere.
fn outside(uri: &str) -> Item {
    let shown = ShownUri::new(uri);
    let uri = shown.as_str();
    let name = uri.rsplit('/').next().unwrap_or(uri).trim_start_matches("file:").to_owned();
    let id = format!("model {uri}");
    Item { id, class: "checkpoint", caption: "Model", title: name, detail: uri.to_owned(), from: Vec::new() }
}

fn node(item: Item, (x, y): (f64, f64)) -> Node {
    let Item { class, caption, title, detail, .. } = item;
    let (title, detail) = (super::dataset::cut(&title, BOX_CHARS.0), super::dataset::cut(&detail, BOX_CHARS.1));
    Node { x, y, width: BOX.0, height: BOX.1, class, caption, title, detail }
}

fn arrow(from: (f64, f64), to: (f64, f64)) -> String {
    let (x1, y1) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0);
    let (x2, y2) = (to.0 - 7.0, to.1 + BOX.1 / 2.0);
    let bend = (x2 - x1) / 2.0;
    format!("M{x1:.1} {y1:.1}C{:.1} {y1:.1} {:.1} {y2:.1} {x2:.1} {y2:.1}", x1 + bend, x2 - bend)
}
