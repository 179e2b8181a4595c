//! One reconcile of a Dataset, as a straight line.

use std::sync::Arc;

use bedplate_crds::dataset::Dataset;
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

impl Reconciled for Dataset {
    const KIND: Kind = Kind::Dataset;
}

/// `dereference -> validate -> plan -> build -> apply -> status`.
///
/// # Errors
/// At the first write that fails.
pub async fn reconcile(dataset: Arc<Dataset>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let resource = dereference::dataset(&dataset);
    let owner = trace::owner(&context, &*dataset);
    let observed = observe(&context, &*dataset, &AnyResource::Dataset(resource.clone()));
    progress::follow(&context, &*dataset, json!(dataset.spec), &observed).await;
    let decision = cluster::dataset::decide(&resource, &owner, &observed, &context.settings);
    context.carry_out(&*dataset, decision).await
}
