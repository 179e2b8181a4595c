//! Looks at the machine before the first process starts: programs, inputs, ports.
//!
//! Owns every refusal that needs no worker but is not in the manifests. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::PathBuf,
};

use bedplate_crds::{dataset::TokenizerSource, model_deployment::ServedModel, training_job::ModelSource};
use bedplate_operator::{
    layout::Layout,
    resource::{AnyResource, Kind},
};

use crate::{
    binaries::Binaries,
    plan::{Job, Places, Plan, Task},
    refusal::{Refusal, Refused},
};

/// The programs, by kind.
pub type Programs = BTreeMap<Kind, PathBuf>;

/// Why a run cannot start on this machine.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Something that a manifest names is not there, or a program is missing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A port is taken.
    #[error("{key} cannot listen on {address}; stop what listens there, or choose another port with --port")]
    PortTaken {
        /// Which deployment.
        key: String,
        /// Where.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The programs that the plan needs.
///
/// # Errors
/// Every missing program and input at once; then the first port that is taken.
pub fn check(plan: &Plan, places: &Places, binaries: &Binaries) -> Result<Programs, PreflightError> {
    let mut programs = Programs::new();
    let mut refusals = Vec::new();
    let tasks: Vec<&Task> = plan.tasks.iter().filter(|task| !task.suspended).collect();
    for task in &tasks {
        refusals.extend(missing_inputs(task, places));
    }
    for kind in tasks.iter().map(|task| task.key.kind).collect::<BTreeSet<Kind>>() {
        match binaries.find(kind) {
            Ok(path) => drop(programs.insert(kind, path)),
            Err(error) => refusals.push(Refusal::new(error)),
        }
    }
    Refused::unless_empty(refusals, ())?;
    tasks.iter().try_for_each(|task| check_port(task))?;
    Ok(programs)
}

/// Takes the port of a deployment for a moment.
fn check_port(task: &Task) -> Result<(), PreflightError> {
    let Job::Inference(job) = &task.job else { return Ok(()) };
    let address = job.http_address.clone();
    match TcpListener::bind(&address) {
        Ok(_) => Ok(()),
        Err(source) => Err(PreflightError::PortTaken { key: task.key.to_string(), address, source }),
    }
}

/// `file:` uris that lead to nothing.
fn missing_inputs(task: &Task, places: &Places) -> Vec<Refusal> {
    let layout = Layout::new(places.inputs.clone(), places.storage.clone(), places.cache.clone(), String::new());
    let missing = |(field, uri): (String, &str)| {
        let path = layout.file_path(uri)?;
        if path.exists() {
            return None;
        }
        let text = format!(
            "{} {:?}: {field} is {uri:?}, but {} does not exist; relative uris start from --inputs ({})",
            task.key.kind,
            task.key.name,
            path.display(),
            places.inputs.display()
        );
        Some(Refusal::at(&task.place, text))
    };
    uris(&task.resource).into_iter().filter_map(missing).collect()
}

/// Every uri of a resource, with its field.
fn uris(resource: &AnyResource) -> Vec<(String, &str)> {
    match resource {
        AnyResource::Dataset(dataset) => {
            let sources = dataset.spec.sources.iter().enumerate();
            let mut uris: Vec<(String, &str)> =
                sources.map(|(i, source)| (format!("spec.sources[{i}].uri"), source.uri.as_str())).collect();
            if let TokenizerSource::Load { uri } = &dataset.spec.tokenizer {
                uris.push(("spec.tokenizer.uri".to_owned(), uri));
            }
            uris
        }
        AnyResource::TrainingJob(job) => match &job.spec.model {
            ModelSource::Uri { uri } => vec![("spec.model.uri".to_owned(), uri)],
            ModelSource::Config { .. } | ModelSource::TrainingJob { .. } => Vec::new(),
        },
        AnyResource::ModelDeployment(deployment) => match &deployment.spec.model {
            ServedModel::Uri { uri } => vec![("spec.model.uri".to_owned(), uri)],
            ServedModel::TrainingJob { .. } => Vec::new(),
        },
    }
}
