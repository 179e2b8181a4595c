//! The number that the terms of a new Lease begin with.
//!
//! Owns the look at what earlier Leases left: after a reinstallation or a restore from a backup children carry numbers of
//! terms that the new Lease knows nothing of. Never trusts a number beyond a bound.

use std::fmt::Debug;

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::ConfigMap};
use kube::{Api, Client, Resource, api::ListParams, core::NamespaceResourceScope};

use serde::de::DeserializeOwned;

use super::{fence, world::OWN_OBJECTS};

/// Highest number that is believed: a new term each second gets there after 34 years.
const MAX_BELIEVED: i64 = 1 << 30;
/// Objects of one answer of the API server.
const PAGE: u32 = 500;

/// A number above those of all children; 0 where there are none.
///
/// # Errors
/// When the API server refuses.
pub async fn first(client: &Client, namespaces: &[Option<String>]) -> Result<i32, kube::Error> {
    let mut next = 0;
    for namespace in namespaces {
        next = next.max(above::<ConfigMap>(client, namespace.as_deref()).await?);
        next = next.max(above::<Job>(client, namespace.as_deref()).await?);
        next = next.max(above::<Deployment>(client, namespace.as_deref()).await?);
    }
    Ok(next)
}

async fn above<K>(client: &Client, namespace: Option<&str>) -> Result<i32, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut parameters = ListParams::default().labels(OWN_OBJECTS).limit(PAGE);
    let mut next = 0;
    loop {
        let page = api.list_metadata(&parameters).await?;
        let numbers = page.items.iter().filter_map(|child| fence::number(&child.metadata));
        let believed =
            numbers.filter(|number| (0..=MAX_BELIEVED).contains(number)).filter_map(|n| i32::try_from(n).ok());
        next = next.max(believed.max().map_or(0, |highest| highest + 1));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(next),
        }
    }
}
