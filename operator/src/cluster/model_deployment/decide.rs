//! The decision about a ModelDeployment: wait for the model, roll it out, keep it answering.
//!
//! Its children are applied at every reconcile: the Deployment replaces pods one by one, so a newer operator may change
//! them. While a model is not ready nothing is applied, so pods that serve an earlier one go on.

use bedplate_crds::{
    conditions::{ConditionType as Type, Reason},
    model_deployment::{ModelDeploymentSpec, ServedModel, status::ModelDeploymentPhase, status::ModelDeploymentStatus},
};

use super::{
    children::{self, ModelChildren},
    rollout::Rollout,
    status,
};
use crate::{
    cluster::{
        acceptance,
        child::ChildKind,
        children::ChildrenError,
        conditions::Conditions,
        decision::{Decision, Finalizer},
        gate::{self, Blocker},
        names,
        observed::Observed,
        owner::Owner,
        pods,
        references::{self, Readiness},
        removal, run,
        settings::ClusterSettings,
    },
    resource::Resource,
};

/// Conditions of a ModelDeployment, in the order in which they come true.
pub const CONDITIONS: [Type; 7] = [
    Type::Accepted,
    Type::ModelReady,
    Type::PodsReady,
    Type::Progressing,
    Type::Available,
    Type::Degraded,
    Type::Deleting,
];

/// What is to be done, and what the status says.
pub fn decide(
    resource: &Resource<ModelDeploymentSpec>,
    owner: &Owner,
    observed: &Observed<ModelDeploymentStatus>,
    settings: &ClusterSettings,
) -> Decision<ModelDeploymentStatus> {
    let mut status = observed.previous.clone().unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&CONDITIONS, &before, owner.generation, observed.now);
    status.observed_generation = Some(owner.generation);
    if owner.deleting_since.is_some() {
        return depart(owner, observed, status, conditions);
    }
    let model = observed.dependencies.first().map(references::readiness);
    let digest = match &model {
        Some(Readiness::Ready(Some(digest))) => Some(digest.clone()),
        _ => status.model_digest.take(),
    };
    let children = children::children(resource, owner, (settings, &observed.dependencies), digest.as_deref());
    let blocker = set_gates(&mut conditions, (resource, owner), (children.as_ref(), model.as_ref()), observed);
    let rollout = Rollout::new(resource.spec.replicas, observed, children.as_ref().ok());
    status::set_conditions(&mut conditions, &rollout, blocker.as_ref());
    status.model_digest = digest;
    status::fill(&mut status, resource, &rollout, children.as_ref().ok());
    (status.phase, status.reason) = status::phase(&rollout, blocker.as_ref());
    let apply = match (children, blocker) {
        (Ok(children), None) => children.all,
        _ => Vec::new(),
    };
    let (next, notes) = conditions.finish();
    status.conditions = next;
    let requeue_after = match status.reason {
        Some(Reason::Pending) => gate::WHILE_SETTLING,
        _ if rollout.is_done() => run::WHEN_OVER,
        _ => run::WHILE_WAITING,
    };
    Decision { notes, ..Decision::new(status, Vec::new(), apply, requeue_after) }
}

/// Sets `Accepted` and `ModelReady`, and finds what keeps the children from being applied.
fn set_gates(
    conditions: &mut Conditions<'_>,
    (resource, owner): (&Resource<ModelDeploymentSpec>, &Owner),
    (children, model): (Result<&ModelChildren, &ChildrenError>, Option<&Readiness>),
    observed: &Observed<ModelDeploymentStatus>,
) -> Option<Blocker> {
    let refused = acceptance::accept(conditions, children.err(), owner, observed.now);
    let waits = match model {
        None | Some(Readiness::Ready(_)) => None,
        Some(Readiness::Missing(message)) => {
            Some(Blocker { reason: Reason::ReferenceNotFound, message: message.clone() })
        }
        Some(Readiness::Waiting(message) | Readiness::Failed(message)) => {
            Some(Blocker { reason: Reason::WaitingForModel, message: message.clone() })
        }
    };
    match (&waits, &resource.spec.model) {
        (Some(wait), _) => conditions.set(Type::ModelReady, false, wait.reason, &wait.message),
        (None, ServedModel::TrainingJob { name }) => {
            conditions.set(Type::ModelReady, true, Reason::ModelReady, format!("TrainingJob {name} is complete"));
        }
        (None, ServedModel::Uri { .. }) => {
            conditions.set(Type::ModelReady, true, Reason::ModelReady, "each pod fetches the model when it starts");
        }
    }
    let missing = children
        .ok()
        .and_then(|children| gate::missing_claim(&children.claims, &observed.claims, &resource.metadata.namespace));
    refused.or(waits).or(missing)
}

/// Its pods get their time to answer what they have begun; nothing is on a volume.
fn depart(
    owner: &Owner,
    observed: &Observed<ModelDeploymentStatus>,
    mut status: ModelDeploymentStatus,
    mut conditions: Conditions<'_>,
) -> Decision<ModelDeploymentStatus> {
    let is_gone = observed.deployment.is_none() && observed.pods.iter().all(pods::is_over);
    let is_late = owner.deleting_since.is_some_and(|since| removal::is_late(since, observed.now));
    let (finalizer, message) = match (is_gone, is_late) {
        (true, _) => (Finalizer::Remove, "nothing of it is left"),
        (false, true) => (Finalizer::Remove, "its pods did not stop in time; Kubernetes removes them"),
        (false, false) => (Finalizer::Keep, "its pods are being stopped"),
    };
    conditions.repeat();
    conditions.set(Type::Deleting, true, Reason::CleaningUp, message);
    (status.phase, status.reason) = (Some(ModelDeploymentPhase::Deleting), Some(Reason::CleaningUp));
    let (next, notes) = conditions.finish();
    status.conditions = next;
    let deployment = observed.deployment.as_ref().map(|_| (ChildKind::Deployment, names::deployment(&owner.name)));
    let decision = Decision::new(status, deployment.into_iter().collect(), Vec::new(), removal::LOOK_AGAIN);
    Decision { finalizer, notes, ..decision }
}
