//! The finalizer: what keeps a deleted resource until its pods are stopped and its files are gone.
//!
//! Owns adding and removing it, each by a JSON patch that tests what it found: of two writers at once one fails and looks
//! again, and no other finalizer is ever lost. Never decides when it may go.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::decision::FINALIZER;

/// Whether the resource has it.
pub fn is_set<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Adds it.
///
/// # Errors
/// When the API server refuses, also because the resource changed since it was read.
pub async fn add<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    patch(api, object, &addition(object)).await
}

/// Removes it.
///
/// # Errors
/// When the API server refuses, also because the resource changed since it was read. One that is gone is no error.
pub async fn remove<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let Some(removal) = removal(object) else { return Ok(()) };
    match patch(api, object, &removal).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result,
    }
}

async fn patch<K>(api: &Api<K>, object: &K, operations: &Value) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let operations = serde_json::from_value(operations.clone()).map_err(kube::Error::SerdeError)?;
    let patch = Patch::Json::<()>(operations);
    api.patch(&object.name_any(), &PatchParams::default(), &patch).await.map(drop)
}

/// The uid is tested too: a resource of the same name that was made meanwhile is another one.
fn addition<K: Resource>(object: &K) -> Value {
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": object.uid()})];
    if object.finalizers().is_empty() {
        operations.push(json!({"op": "test", "path": "/metadata/finalizers", "value": null}));
        operations.push(json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}));
    } else {
        operations.push(json!({"op": "test", "path": "/metadata/finalizers", "value": object.finalizers()}));
        operations.push(json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}));
    }
    Value::Array(operations)
}

fn removal<K: Resource>(object: &K) -> Option<Value> {
    let index = object.finalizers().iter().position(|finalizer| finalizer == FINALIZER)?;
    let path = format!("/metadata/finalizers/{index}");
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": object.uid()},
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(finalizers: &[&str]) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.uid = Some("u".to_owned());
        if !finalizers.is_empty() {
            object.finalizers_mut().extend(finalizers.iter().map(|&name| name.to_owned()));
        }
        object
    }

    #[test]
    fn the_first_finalizer_needs_its_list() {
        let operations = addition(&object(&[]));
        assert_eq!(operations[1], json!({"op": "test", "path": "/metadata/finalizers", "value": null}));
        assert_eq!(operations[2], json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}));
    }

    #[test]
    fn anothers_finalizer_stays() {
        let with_two = object(&["other", FINALIZER]);
        assert_eq!(removal(&with_two).unwrap()[2], json!({"op": "remove", "path": "/metadata/finalizers/1"}));
        let operations = addition(&object(&["other"]));
        assert_eq!(operations[2], json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}));
        assert!(removal(&object(&["other"])).is_none());
    }
}
