//! What a ModelDeployment's status says of a rollout.
//!
//! Owns the conditions from `PodsReady` on, the phase and the figures. Never decides what is applied.

use bedplate_crds::{
    conditions::{ConditionType as Type, Reason},
    model_deployment::{
        ModelDeploymentSpec,
        status::{ModelDeploymentPhase as Phase, ModelDeploymentStatus, ModelDeploymentSummary},
    },
};

use super::{children::ModelChildren, rollout::Rollout};
use crate::{
    cluster::{conditions::Conditions, gate::Blocker, names},
    resource::{Kind, Resource},
};

/// Sets the conditions from `PodsReady` on.
pub fn set_conditions(conditions: &mut Conditions<'_>, rollout: &Rollout, blocker: Option<&Blocker>) {
    let Rollout { desired, ready, updated, .. } = *rollout;
    let counts = format!("{ready} of {desired} pods answer");
    let waits = hold_up(rollout, blocker);
    let cause = |otherwise| waits.map_or((otherwise, counts.clone()), |waits| (waits.reason, waits.message.clone()));
    if rollout.exists && ready >= desired {
        conditions.set(Type::PodsReady, true, Reason::PodsReady, &counts);
    } else {
        let (reason, message) = cause(Reason::PodsStarting);
        conditions.set(Type::PodsReady, false, reason, message);
    }
    match blocker {
        Some(blocker) if !rollout.exists => {
            conditions.set(Type::Progressing, false, blocker.reason, &blocker.message);
        }
        None if let Some(refused) = &rollout.refused => {
            conditions.set(Type::Progressing, false, refused.reason, &refused.message);
        }
        _ if rollout.exists && !rollout.is_under_way() => {
            conditions.set(Type::Progressing, false, Reason::RolledOut, &counts);
        }
        _ => {
            let message = match waits {
                Some(waits) => format!("{updated} of {desired} pods are of the newest revision: {}", waits.message),
                None => format!("{updated} of {desired} pods are of the newest revision"),
            };
            conditions.set(Type::Progressing, true, Reason::RollingOut, message);
        }
    }
    if ready > 0 {
        conditions.set(Type::Available, true, Reason::Serving, &counts);
    } else if desired == 0 && rollout.exists {
        conditions.set(Type::Available, false, Reason::NotServing, "spec.replicas is 0");
    } else {
        let (reason, message) = cause(Reason::NotServing);
        conditions.set(Type::Available, false, reason, message);
    }
    if is_degraded(rollout) {
        let (reason, message) = cause(Reason::PodsStarting);
        conditions.set(Type::Degraded, true, reason, message);
    } else {
        conditions.set(Type::Degraded, false, Reason::AsExpected, "no pod that answered is missing");
    }
    conditions.set(Type::Deleting, false, Reason::NotRequested, "nobody deletes it");
}

/// It answers, but with fewer pods than it should, and not because it is just being rolled out.
fn is_degraded(rollout: &Rollout) -> bool {
    let is_expected = rollout.is_under_way() && rollout.trouble.is_none();
    rollout.ready > 0 && rollout.ready < rollout.desired && !is_expected
}

fn hold_up<'a>(rollout: &'a Rollout, blocker: Option<&'a Blocker>) -> Option<&'a Blocker> {
    blocker.filter(|_| !rollout.exists).or(rollout.refused.as_ref()).or(rollout.trouble.as_ref())
}

/// Where it is, in one word, and why.
pub fn phase(rollout: &Rollout, blocker: Option<&Blocker>) -> (Option<Phase>, Option<Reason>) {
    let waits = hold_up(rollout, blocker);
    let reason = |otherwise| waits.map_or(otherwise, |waits| waits.reason);
    let is_blocked = blocker.is_some() || rollout.refused.is_some();
    let (phase, reason) = if !rollout.exists && is_blocked {
        (Phase::Pending, reason(Reason::Pending))
    } else if rollout.desired == 0 && rollout.ready == 0 {
        (Phase::Pending, Reason::NotServing)
    } else if rollout.ready == 0 {
        let has_failed = waits.is_some_and(|waits| is_of_workload(waits.reason));
        (if has_failed { Phase::Failed } else { Phase::Starting }, reason(Reason::PodsStarting))
    } else if is_degraded(rollout) {
        (Phase::Degraded, reason(Reason::PodsStarting))
    } else if rollout.is_under_way() {
        (Phase::RollingOut, rollout.refused.as_ref().map_or(Reason::RollingOut, |refused| refused.reason))
    } else {
        (Phase::Ready, Reason::Serving)
    };
    (Some(phase), Some(reason))
}

/// The process itself ended, and will again.
fn is_of_workload(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InvalidConfig
            | Reason::OutOfMemory
            | Reason::CorruptData
            | Reason::StorageFailed
            | Reason::WorkloadFailed
            | Reason::InfrastructureFailed
    )
}

/// Fills in everything but the conditions, the phase and the reason.
pub fn fill(
    status: &mut ModelDeploymentStatus,
    resource: &Resource<ModelDeploymentSpec>,
    rollout: &Rollout,
    children: Option<&ModelChildren>,
) {
    let metadata = &resource.metadata;
    let service = names::service(Kind::ModelDeployment, &metadata.name);
    status.url = rollout.exists.then(|| format!("http://{service}.{}.svc/v1", metadata.namespace));
    status.selector = Some(names::selector(Kind::ModelDeployment, &metadata.name));
    (status.replicas, status.ready_replicas, status.updated_replicas) =
        (rollout.replicas, rollout.ready, rollout.updated);
    if let Some(children) = children {
        status.served_model_name = Some(children.served_model_name.clone());
        status.revision = Some(children.revision.clone());
    }
    status.summary = Some(ModelDeploymentSummary { ready: format!("{}/{}", rollout.ready, rollout.desired) });
}
