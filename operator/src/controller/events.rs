//! Events on resources (events.k8s.io/v1): what became true, for `kubectl describe`.
//!
//! Owns that the same news is one object: its name is made from what it says, so that a repeat, also by an operator that was
//! restarted, adds to its count instead of a line. Losing one loses nothing that runs.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::cluster::decision::Note;

/// How long the same news is not told again: with less a broken resource would write as often as it is looked at.
const REPEAT_AFTER: Duration = Duration::from_secs(300);
/// Entries of the memory of what was told; above it what is older than a repeat is dropped.
const MAX_REMEMBERED: usize = 4096;
/// What the API server takes in a note (`k8s.io/kubernetes/pkg/apis/core/validation`, noteLengthLimit).
const MAX_NOTE_BYTES: usize = 1024;
/// Cause that the API server gives where nothing can be made in a namespace any more.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
/// Name of the controller in each event.
const CONTROLLER: &str = "bedplate.dev/operator";

/// Writes events.
pub struct Events {
    client: Client,
    instance: String,
    told: Mutex<HashMap<String, Told>>,
}

#[derive(Clone, Copy)]
struct Told {
    at: Instant,
    count: i32,
}

impl Events {
    /// Writes as that instance.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance, told: Mutex::default() }
    }

    /// Tells it, unless it was told a short while ago. A failure is logged and no more; that the namespace goes, and takes all
    /// its events with it, is none.
    pub async fn tell(&self, about: &ObjectReference, note: &Note) {
        let name = name(about, note);
        let Some(count) = self.count(&name) else { return };
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api = Api::<Event>::namespaced(self.client.clone(), namespace);
        let event = self.event(&name, about, note);
        let told = match api.create(&PostParams::default(), &event).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() && count > 1 => {
                let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(Timestamp::now())}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&series)).await
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(event),
            created => created,
        };
        if let Err(error) = told
            && !is_too_late(&error)
        {
            let error = bedplate_telemetry::chain::Chain(&error);
            tracing::warn!(%error, message = note.message, "could not write an event");
        }
    }

    /// How often it was told, this time included; none where that was a short while ago.
    fn count(&self, name: &str) -> Option<i32> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_REMEMBERED {
            told.retain(|_, told| told.at.elapsed() < REPEAT_AFTER);
        }
        let earlier = told.get(name).copied();
        if earlier.is_some_and(|earlier| earlier.at.elapsed() < REPEAT_AFTER) {
            return None;
        }
        let count = earlier.map_or(1, |earlier| earlier.count.saturating_add(1));
        told.insert(name.to_owned(), Told { at: Instant::now(), count });
        Some(count)
    }

    fn event(&self, name: &str, about: &ObjectReference, note: &Note) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(cut(&note.message).to_owned()),
            reason: Some(format!("{:?}", note.reason)),
            regarding: Some(about.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if note.is_warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

/// Whether there is no place for an event any more: the namespace is being deleted (`NamespaceTerminating`, k8s.io/api/core/v1)
/// or gone.
fn is_too_late(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let Some(details) = &status.details else { return false };
    details.causes.iter().any(|cause| cause.reason == NAMESPACE_TERMINATING)
        || (status.is_not_found() && details.kind == "namespaces")
}

/// `<resource>.<hash of what it says>`.
fn name(about: &ObjectReference, note: &Note) -> String {
    let mut hasher = DefaultHasher::new();
    (&about.uid, &note.message, note.is_warning).hash(&mut hasher);
    format!("{:?}", note.reason).hash(&mut hasher);
    format!("{}.{:016x}", about.name.as_deref().unwrap_or("bedplate"), hasher.finish())
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_NOTE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
