//! The resource that children belong to, as the API server knows it.
//!
//! Owns the owner reference and the trace of its own. Never holds a spec, and never looks at what the resource is made from.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};

use bedplate_crds::{GROUP, VERSION};

use crate::resource::{Kind, Metadata};

/// What the API server added to a resource's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Since when it is being deleted.
    pub deleting_since: Option<Timestamp>,
    /// W3C trace context that its reconciles and its pods join.
    pub traceparent: Option<String>,
}

impl Owner {
    /// From the metadata of a resource of that kind, with a trace of its own.
    pub fn new(kind: Kind, metadata: &ObjectMeta) -> Self {
        let uid = metadata.uid.clone().unwrap_or_default();
        Self {
            kind,
            name: metadata.name.clone().unwrap_or_default(),
            traceparent: own_trace(&uid),
            uid,
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            deleting_since: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// The reference that makes Kubernetes delete a child together with its owner.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: self.kind.name().to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// Made from the uid, so that it is the same at every reconcile and in every pod.
fn own_trace(uid: &str) -> Option<String> {
    let digits: String = uid.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    let is_id = digits.len() == TRACE_ID_DIGITS && digits.bytes().any(|digit| digit != b'0');
    // The last digits of a random uid are as good a span id as any.
    is_id.then(|| format!("00-{digits}-{}-01", &digits[TRACE_ID_DIGITS - SPAN_ID_DIGITS..]))
}

/// Hexadecimal digits of a trace id (<https://www.w3.org/TR/trace-context/#trace-id>); a uid has as many.
const TRACE_ID_DIGITS: usize = 32;
/// Hexadecimal digits of a span id.
const SPAN_ID_DIGITS: usize = 16;

/// The part of a resource's metadata that the pure stages read.
pub fn metadata(of: &ObjectMeta) -> Metadata {
    Metadata {
        name: of.name.clone().unwrap_or_default(),
        namespace: of.namespace.clone().unwrap_or_default(),
        labels: of.labels.clone().unwrap_or_default(),
        annotations: of.annotations.clone().unwrap_or_default(),
    }
}
