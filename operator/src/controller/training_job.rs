//! One reconcile of a TrainingJob, as a straight line.

use std::sync::Arc;

use bedplate_crds::training_job::TrainingJob;
use kube::runtime::controller::Action;
use serde_json::json;

use super::{
    context::{Context, ReconcileError, Reconciled},
    dereference,
    observe::observe,
    progress, trace,
};
use crate::{
    cluster,
    resource::{AnyResource, Kind},
};

impl Reconciled for TrainingJob {
    const KIND: Kind = Kind::TrainingJob;
}

/// `dereference -> validate -> plan -> build -> apply -> status`.
///
/// # Errors
/// At the first write that fails.
pub async fn reconcile(job: Arc<TrainingJob>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    if !cluster::training_job::is_ours(&job.spec) {
        return Ok(Action::await_change());
    }
    let resource = dereference::training_job(&job);
    let owner = trace::owner(&context, &*job);
    let observed = observe(&context, &*job, &AnyResource::TrainingJob(Box::new(resource.clone())));
    progress::follow(&context, &*job, json!(job.spec), &observed).await;
    let decision = cluster::training_job::decide(&resource, &owner, &observed, &context.settings);
    context.carry_out(&*job, decision).await
}
