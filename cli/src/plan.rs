//! What a run will do, decided before the first process: the job of every resource, in the order of their dependencies.
//!
//! Owns the order and the addresses. Pure: never opens a file, a socket or a clock.

pub mod graph;

use std::path::{Path, PathBuf};

use bedplate_crds::{
    job::{DatasetJob, InferenceJob, TrainerJob},
    training_job::FailureRule,
};
use bedplate_operator::{
    dataset,
    layout::Layout,
    model_deployment,
    references::References,
    resource::{AnyResource, Kind, ResourceKey},
    training_job,
};

use crate::{
    manifests::Located,
    refusal::{Refusal, Refused},
};

/// Stands in the plan for the rendezvous port, which is chosen when the ranks start.
const RENDEZVOUS_TO_BE_CHOSEN: &str = "127.0.0.1:0";

/// Where a run reads and writes. Every path is absolute.
#[derive(Clone, Debug)]
pub struct Places {
    /// Folder that relative `file:` uris start from.
    pub inputs: PathBuf,
    /// Folder of the artefacts.
    pub storage: PathBuf,
    /// Folder of downloaded models.
    pub cache: PathBuf,
    /// Port of the first deployment; 0 takes free ones.
    pub first_port: u16,
}

/// A job file's content.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// For `bedplate-dataset`.
    Dataset(Box<DatasetJob>),
    /// For `bedplate-trainer`.
    Trainer(Box<TrainerJob>),
    /// For `bedplate-inference`.
    Inference(Box<InferenceJob>),
}

impl Job {
    /// File that the worker appends its progress to.
    pub fn progress_file(&self) -> &Path {
        match self {
            Self::Dataset(job) => &job.progress_file,
            Self::Trainer(job) => &job.progress_file,
            Self::Inference(job) => &job.progress_file,
        }
    }

    /// Processes that share the job.
    pub fn ranks(&self) -> u32 {
        match self {
            Self::Trainer(job) => job.spec.parallelism.data,
            Self::Dataset(_) | Self::Inference(_) => 1,
        }
    }

    /// What the manifest wants done about failures.
    pub fn failure_policy(&self) -> &[FailureRule] {
        match self {
            Self::Trainer(job) => &job.spec.failure_policy,
            Self::Dataset(_) | Self::Inference(_) => &[],
        }
    }
}

/// One resource and what is to be done for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Which resource.
    pub key: ResourceKey,
    /// Where it was written.
    pub place: String,
    /// The resource.
    pub resource: AnyResource,
    /// Its job.
    pub job: Job,
    /// Indices of the tasks it waits for; each is below its own.
    pub waits_for: Vec<usize>,
    /// Whether it, or something it waits for, is suspended.
    pub suspended: bool,
}

/// All that a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The tasks; each comes after those that it waits for.
    pub tasks: Vec<Task>,
    /// What a person should know although nothing is wrong.
    pub notices: Vec<String>,
}

/// The plan of these resources. `finished` are resources of earlier runs that may be referred to.
///
/// # Errors
/// Everything that the pure stages refuse, references that lead nowhere and circles.
pub fn plan(located: &[Located], finished: &[AnyResource], places: &Places) -> Result<Plan, Refused> {
    let layout = layout(places, 0);
    let known = finished.iter().chain(located.iter().map(|located| &located.resource));
    let references = References::new(known, &layout);
    let mut jobs = Vec::new();
    let mut refusals = Vec::new();
    let mut deployments = 0;
    for located in located {
        let layout = self::layout(places, deployments);
        deployments += u16::from(located.resource.kind() == Kind::ModelDeployment);
        match job(&located.resource, &references, &layout) {
            Ok(job) => jobs.push(job),
            Err(texts) => refusals.extend(texts.into_iter().map(|text| Refusal::at(&located.place, text))),
        }
    }
    let dependencies = graph::dependencies(located);
    refusals.extend(graph::circles(located, &dependencies));
    if u32::from(places.first_port) + u32::from(deployments) > 1 + u32::from(u16::MAX) {
        refusals.push(Refusal::new(format!(
            "--port is {}, which leaves no room for {deployments} deployments; choose one below {}",
            places.first_port,
            u16::MAX - deployments
        )));
    }
    Refused::unless_empty(refusals, ())?;
    Ok(arrange(located, jobs, &dependencies))
}

fn arrange(located: &[Located], jobs: Vec<Job>, dependencies: &[Vec<usize>]) -> Plan {
    let order = graph::order(dependencies);
    let mut tasks: Vec<Task> = Vec::new();
    let mut notices = Vec::new();
    for &index in &order {
        let Located { place, resource } = &located[index];
        let waits_for: Vec<usize> = dependencies[index]
            .iter()
            .map(|wanted| order.iter().position(|placed| placed == wanted).expect("the order holds every resource"))
            .collect();
        let held_by = waits_for.iter().find(|&&task| tasks[task].suspended).map(|&task| tasks[task].key.clone());
        notices.extend(notice(resource, held_by.as_ref()));
        tasks.push(Task {
            key: resource.key(),
            place: place.clone(),
            resource: resource.clone(),
            job: jobs[index].clone(),
            waits_for,
            suspended: held_by.is_some() || is_suspended(resource),
        });
    }
    Plan { tasks, notices }
}

fn is_suspended(resource: &AnyResource) -> bool {
    matches!(resource, AnyResource::TrainingJob(job) if job.spec.suspend)
}

fn notice(resource: &AnyResource, held_by: Option<&ResourceKey>) -> Option<String> {
    let key = resource.key();
    match resource {
        _ if is_suspended(resource) => Some(format!("{key} is left out: spec.suspend is true")),
        _ if held_by.is_some() => {
            Some(format!("{key} is left out: it waits for {}, which is left out", held_by.expect("just seen")))
        }
        AnyResource::ModelDeployment(deployment) if deployment.spec.replicas > 1 => {
            Some(format!("{key}: spec.replicas is {}; on one machine one process serves", deployment.spec.replicas))
        }
        AnyResource::ModelDeployment(deployment) if deployment.spec.replicas == 0 => {
            Some(format!("{key}: spec.replicas is 0; it is served all the same, by one process"))
        }
        _ => None,
    }
}

fn layout(places: &Places, deployment: u16) -> Layout {
    let Places { inputs, storage, cache, first_port } = places.clone();
    let port = if first_port == 0 { 0 } else { first_port.saturating_add(deployment) };
    let mut layout = Layout::new(inputs, storage, cache, format!("127.0.0.1:{port}"));
    layout.rendezvous = Some(RENDEZVOUS_TO_BE_CHOSEN.to_owned());
    layout
}

/// The job of one resource, or every reason against it.
fn job(resource: &AnyResource, references: &References, layout: &Layout) -> Result<Job, Vec<String>> {
    use model_deployment::ModelDeploymentError;
    use training_job::TrainingJobError;
    let each = |invalid: bedplate_operator::violation::Invalid| -> Vec<String> {
        let bedplate_operator::violation::Invalid { kind, name, violations } = invalid;
        violations.iter().map(|violation| format!("{kind} {name:?}: {violation}")).collect()
    };
    let one =
        |error: &dyn std::fmt::Display| vec![format!("{} {:?}: {error}", resource.kind(), resource.metadata().name)];
    match resource {
        AnyResource::Dataset(dataset) => dataset::job(dataset, layout).map(Box::new).map(Job::Dataset).map_err(each),
        AnyResource::TrainingJob(job) => training_job::job(job, references, layout)
            .map(|job| Job::Trainer(Box::new(job)))
            .map_err(|error| match error {
                TrainingJobError::Invalid(invalid) => each(invalid),
                TrainingJobError::Plan(error) => one(&error),
            }),
        AnyResource::ModelDeployment(deployment) => model_deployment::job(deployment, references, layout)
            .map(Box::new)
            .map(Job::Inference)
            .map_err(|error| match error {
                ModelDeploymentError::Invalid(invalid) => each(invalid),
                ModelDeploymentError::Reference(error) => one(&error),
            }),
    }
}
