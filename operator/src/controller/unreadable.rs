//! A resource that this build cannot read, because a newer or older chart's CRD let it in: says so in its status.
//!
//! Never guesses what was meant, and holds nothing back: a deleted one is let go at once, for none of its children was made
//! from what cannot be read.

use bedplate_crds::conditions::{ConditionType, Reason};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde_json::json;

use super::{
    answer::Answer,
    context::{Context, ReconcileError, Reconciled},
    finalizer,
    status::STATUS_MANAGER,
};
use crate::cluster::decision::Note;

/// Writes what is wrong into the status, once, and into an event.
///
/// # Errors
/// When the API server refuses.
pub async fn reconcile<K: Reconciled>(context: &Context, invalid: &InvalidObject) -> Result<Action, ReconcileError> {
    let kind = ApiResource::erase::<K>(&());
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &namespace, &kind);
    let Some(object) = api.get_opt(&name).await.map_err(|error| ReconcileError::Status(Answer(error)))? else {
        return Ok(Action::await_change());
    };
    if object.metadata.deletion_timestamp.is_some() {
        finalizer::remove(&api, &object).await.map_err(|error| ReconcileError::Finalizer(Answer(error)))?;
        return Ok(Action::await_change());
    }
    let message = format!(
        "this operator cannot read the resource: {}; correct the field, or upgrade operator and CRDs together",
        invalid.error
    );
    if object.data["status"]["conditions"][0]["message"] != message {
        write(&api, &object, &kind, &message).await.map_err(|error| ReconcileError::Status(Answer(error)))?;
    }
    let note = Note { is_warning: true, reason: Reason::InvalidSpec, message };
    context.events.tell(&object.object_ref(&kind), &note).await;
    Ok(Action::await_change())
}

async fn write(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    kind: &ApiResource,
    message: &str,
) -> Result<(), kube::Error> {
    let accepted = Condition {
        type_: format!("{:?}", ConditionType::Accepted),
        status: "False".to_owned(),
        reason: format!("{:?}", Reason::InvalidSpec),
        message: message.to_owned(),
        last_transition_time: Time(Timestamp::now()),
        observed_generation: object.metadata.generation,
    };
    let name = object.name_any();
    let body = json!({
        "apiVersion": kind.api_version, "kind": kind.kind,
        "metadata": {"name": name, "namespace": object.namespace(), "uid": object.uid()},
        "status": {
            "observedGeneration": object.metadata.generation, "phase": "Pending",
            "reason": accepted.reason, "conditions": [accepted],
        },
    });
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    api.patch_status(&name, &parameters, &Patch::Apply(&body)).await.map(drop)
}
