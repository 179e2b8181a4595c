//! Writes a status: server-side apply with a field manager of its own, and only what is new.
//!
//! Owns the comparison with what is there, and the counts of phases and reasons that follow from a status.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    context::{Context, Reconciled},
    wake::key_of,
};

/// Field manager of the status.
pub const STATUS_MANAGER: &str = "bedplate-operator-status";

/// Writes the status unless it is there already; one of a resource that is gone is nobody's.
///
/// # Errors
/// When the API server refuses, also because there is another resource of that name by now.
pub async fn write<K: Reconciled>(
    context: &Context,
    api: &Api<K>,
    object: &K,
    status: &K::Status,
) -> Result<(), kube::Error> {
    let new = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    context.metrics.phase(&key_of(K::KIND, object), new["phase"].as_str().unwrap_or_default());
    if object.status() == Some(status) {
        return Ok(());
    }
    apply(api, object, &new).await?;
    let old = serde_json::to_value(object.status()).map_err(kube::Error::SerdeError)?;
    for reason in new_reasons(&old, &new) {
        context.metrics.reasons.with_label_values(&[K::KIND.name(), reason]).inc();
    }
    Ok(())
}

/// Applies a status as it is. The uid makes it fail on another resource of the same name.
async fn apply<K: Reconciled>(api: &Api<K>, object: &K, status: &Value) -> Result<(), kube::Error> {
    let name = object.name_any();
    let body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": object.namespace(), "uid": object.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    match api.patch_status(&name, &parameters, &Patch::Apply(&body)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

/// Reasons of the conditions that changed.
fn new_reasons<'a>(old: &Value, new: &'a Value) -> Vec<&'a str> {
    let conditions = |status: &'a Value| status["conditions"].as_array().into_iter().flatten();
    let is_known = |condition: &Value| {
        let old = old["conditions"].as_array().into_iter().flatten();
        old.into_iter().any(|old| ["type", "status", "reason"].iter().all(|field| old[*field] == condition[*field]))
    };
    conditions(new)
        .filter(|condition| !is_known(condition))
        .filter_map(|condition| condition["reason"].as_str())
        .collect()
}
