//! One reconcile of a ModelDeployment, as a straight line.

use std::sync::Arc;

use bedplate_crds::model_deployment::ModelDeployment;
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

impl Reconciled for ModelDeployment {
    const KIND: Kind = Kind::ModelDeployment;
}

/// `dereference -> validate -> plan -> build -> apply -> status`.
///
/// # Errors
/// At the first write that fails.
pub async fn reconcile(deployment: Arc<ModelDeployment>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let resource = dereference::model_deployment(&deployment);
    let owner = trace::owner(&context, &*deployment);
    let observed = observe(&context, &*deployment, &AnyResource::ModelDeployment(resource.clone()));
    progress::follow(&context, &*deployment, json!(deployment.spec), &observed).await;
    let decision = cluster::model_deployment::decide(&resource, &owner, &observed, &context.settings);
    context.carry_out(&*deployment, decision).await
}
