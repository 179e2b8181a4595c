//! A ModelDeployment in the report: what it serves, where, and within which limits.

use bedplate_crds::{model_deployment::ServedModel, uri::ShownUri};
use bedplate_operator::resource::AnyResource;
use serde::Serialize;

use crate::{run::board::Entry, state::records::Phase};

#[derive(Serialize)]
pub(super) struct DeploymentSection {
    anchor: String,
    name: String,
    facts: Vec<(&'static str, String)>,
}

pub(super) fn section(entry: &Entry, anchor: String) -> Option<DeploymentSection> {
    let AnyResource::ModelDeployment(deployment) = &entry.task.resource else { return None };
    let spec = &deployment.spec;
    let model = match &spec.model {
        ServedModel::TrainingJob { name } => format!("the final checkpoint of TrainingJob {name}"),
        ServedModel::Uri { uri } => ShownUri::new(uri).to_string(),
    };
    let url = entry.progress.url.clone().unwrap_or_else(|| "not ready yet".to_owned());
    let url = if entry.record.phase == Phase::Ready { url } else { format!("{url} (no longer up)") };
    let engine = &spec.engine;
    let longest = engine.max_model_len.map_or("the model's own".to_owned(), |tokens| format!("{tokens} tokens"));
    let facts = vec![
        ("model", model),
        ("answers to", spec.served_model_name.clone().unwrap_or_else(|| entry.task.key.name.clone())),
        ("endpoint", url),
        ("longest prompt and answer", longest),
        ("one step", format!("at most {} sequences and {} tokens", engine.max_num_seqs, engine.max_num_batched_tokens)),
        ("waiting requests", format!("at most {}; one more is answered 429", engine.max_queue_len)),
    ];
    Some(DeploymentSection { anchor, name: entry.name.clone(), facts })
}
