//! How far a Deployment is with the revision that is wanted.
//!
//! Owns the reading of `apps/v1` Deployments. Never applies one.

use bedplate_crds::{
    conditions::{ConditionType, Reason},
    model_deployment::status::ModelDeploymentStatus,
};
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::Pod,
};

use super::children::{ModelChildren, REVISION_ANNOTATION};
use crate::cluster::{
    conditions, failure,
    gate::Blocker,
    observed::Observed,
    pods::{self, Sight},
};

/// Pods by what they do, and what is wrong with those that do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Whether there is a Deployment.
    pub exists: bool,
    /// Pods that are wanted.
    pub desired: u32,
    /// Pods of all revisions.
    pub replicas: u32,
    /// Pods that answer.
    pub ready: u32,
    /// Pods of the newest revision.
    pub updated: u32,
    /// Whether the Deployment is made from what is wanted, and its controller has seen it.
    pub is_current: bool,
    /// Whether it was under way at the reconcile before: it is until every pod answers.
    pub was_under_way: bool,
    /// What is wrong with the pods that do not answer.
    pub trouble: Option<Blocker>,
    /// What the API server refused of the revision that is wanted.
    pub refused: Option<Blocker>,
}

impl Rollout {
    /// What was seen.
    pub fn new(desired: u32, observed: &Observed<ModelDeploymentStatus>, children: Option<&ModelChildren>) -> Self {
        let deployment = observed.deployment.as_ref();
        let status = deployment.and_then(|deployment| deployment.status.clone()).unwrap_or_default();
        let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        let is_current = deployment.is_some_and(|deployment| is_current(deployment, desired, children));
        let before = observed.previous.as_ref().map_or(&[][..], |status| &status.conditions);
        let sight = Sight { wanted: desired, warnings: &observed.warnings, now: observed.now };
        let serving: Vec<&Pod> = observed.pods.iter().filter(|pod| !pods::is_over(pod)).collect();
        Self {
            exists: deployment.is_some(),
            desired,
            replicas: count(status.replicas),
            ready: count(status.ready_replicas),
            // What its controller calls the newest revision may be the one before.
            updated: if is_current { count(status.updated_replicas) } else { 0 },
            is_current,
            was_under_way: conditions::is_true(before, ConditionType::Progressing),
            trouble: trouble(&serving, &status, sight),
            refused: children.and_then(|children| observed.child_refused.as_ref()?.among(&children.all)).cloned(),
        }
    }

    /// Whether every wanted pod is of the newest revision and answers, and no other is left.
    pub fn is_done(&self) -> bool {
        let Self { desired, replicas, ready, updated, .. } = *self;
        self.is_current && replicas == desired && updated == desired && ready == desired
    }

    /// Whether a newer revision is replacing an older one, or the first pods are being started.
    pub fn is_under_way(&self) -> bool {
        let is_behind = !self.is_current || self.updated < self.desired || self.replicas != self.desired;
        !self.is_done() && (is_behind || self.was_under_way)
    }
}

fn is_current(deployment: &Deployment, desired: u32, children: Option<&ModelChildren>) -> bool {
    let spec = &deployment.spec;
    let annotations = spec.template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let revision = annotations.and_then(|annotations| annotations.get(REVISION_ANNOTATION));
    let is_seen =
        deployment.status.as_ref().and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    let has_replicas = spec.replicas.and_then(|replicas| u32::try_from(replicas).ok()) == Some(desired);
    is_seen && has_replicas && children.is_some_and(|children| revision == Some(&children.revision))
}

fn trouble(serving: &[&Pod], status: &DeploymentStatus, sight: Sight<'_>) -> Option<Blocker> {
    let blocker = |trouble: pods::Trouble| Blocker { reason: trouble.reason, message: trouble.message };
    if let Some(trouble) = pods::trouble(serving.iter().copied(), sight) {
        return Some(blocker(trouble));
    }
    let silent = serving.iter().copied().filter(|pod| !pods::is_ready(pod) && !pods::is_leaving(pod));
    if let Some(failure) = failure::root(silent) {
        return Some(Blocker { reason: failure.reason, message: failure.message });
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is = |of: &str, truth: &str| {
        let matches = |name: &Option<String>, wanted| name.as_deref() == Some(wanted);
        conditions.iter().find(|condition| matches(&condition.type_, of) && matches(&condition.status, truth))
    };
    if let Some(refused) = is("ReplicaFailure", "True") {
        return Some(blocker(pods::refusal(refused.message.as_deref().unwrap_or("pods were refused"))));
    }
    let stuck = is("Progressing", "False")?;
    let said = stuck.message.clone().unwrap_or_default();
    Some(Blocker { reason: Reason::PodsStarting, message: format!("{said}; kubectl describe pod has more") })
}
