//! Names and labels of children: the same at every reconcile.
//!
//! Owns how a child's name is made from its resource's. Never asks whether it is taken.

use std::collections::BTreeMap;

use crate::resource::Kind;

/// Longest name a Service, a Job's label and a pod's host name may have (RFC 1123).
const MAX_NAME_CHARS: usize = 63;
/// What a Job and the host name of its eighth pod add to the name of a pod's Job: `-7`.
const INDEX_CHARS: usize = 2;
/// Hexadecimal digits that keep two cut names apart.
const HASH_DIGITS: usize = 8;

/// Label of the kind of the resource a child belongs to.
pub const KIND_LABEL: &str = "bedplate.dev/kind";
/// Label of its name.
pub const NAME_LABEL: &str = "bedplate.dev/name";

/// What the workload of a kind is called: its container, its image, the end of its children's names.
pub fn component(kind: Kind) -> &'static str {
    match kind {
        Kind::Dataset => "dataset",
        Kind::TrainingJob => "trainer",
        Kind::ModelDeployment => "inference",
    }
}

/// Name of the ConfigMap with the job file.
pub fn config_map(kind: Kind, name: &str) -> String {
    child(name, component(kind))
}

/// Name of the Job of a Dataset or TrainingJob, of a TrainingJob's headless Service and of its PodGroup.
pub fn job(kind: Kind, name: &str) -> String {
    child(name, component(kind))
}

/// Name of the Deployment of a ModelDeployment, and of its PodDisruptionBudget.
pub fn deployment(name: &str) -> String {
    child(name, component(Kind::ModelDeployment))
}

/// Name of the Service of a resource: the model's address is the resource's own name.
pub fn service(kind: Kind, name: &str) -> String {
    match kind {
        Kind::ModelDeployment => name.to_owned(),
        Kind::Dataset | Kind::TrainingJob => job(kind, name),
    }
}

/// Name of the Job that removes a resource's files.
pub fn cleanup_job(kind: Kind, name: &str) -> String {
    child(name, &format!("{}-cleanup", component(kind)))
}

/// `NAME-ending`; a name that would be too long is cut, and a hash of it keeps it unique.
fn child(name: &str, ending: &str) -> String {
    let room = MAX_NAME_CHARS - INDEX_CHARS - 1 - ending.len();
    if name.len() <= room {
        return format!("{name}-{ending}");
    }
    let hash = digest(name.as_bytes());
    let kept: String = name.chars().take(room - HASH_DIGITS - 1).collect();
    format!("{}-{}-{ending}", kept.trim_end_matches('-'), &hash[..HASH_DIGITS])
}

/// Hash of these bytes, 32 hexadecimal digits: tells two of them apart, and keeps out nobody who looks for a collision.
pub fn digest(bytes: &[u8]) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, bytes).simple().to_string()
}

/// Labels of every child and every pod of a resource.
pub fn labels(kind: Kind, name: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(kind, name);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "bedplate".to_owned());
    labels.insert("app.kubernetes.io/name".to_owned(), format!("bedplate-{}", component(kind)));
    labels
}

/// Labels that the pods of one resource have and no other pod has.
pub fn selector_labels(kind: Kind, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(KIND_LABEL.to_owned(), kind.name().to_owned()), (NAME_LABEL.to_owned(), name.to_owned())])
}

/// The same as the text of a label selector.
pub fn selector(kind: Kind, name: &str) -> String {
    format!("{KIND_LABEL}={kind},{NAME_LABEL}={name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_allowed_length_gives_names_that_kubernetes_takes() {
        for length in 1..=63 {
            let name = "n".repeat(length);
            for made in [job(Kind::TrainingJob, &name), cleanup_job(Kind::Dataset, &name), deployment(&name)] {
                assert!(made.len() + INDEX_CHARS <= MAX_NAME_CHARS, "{made}");
            }
        }
    }

    #[test]
    fn two_long_names_that_begin_alike_stay_apart() {
        let (one, two) = (format!("{}-one", "x".repeat(59)), format!("{}-two", "x".repeat(59)));
        assert_ne!(job(Kind::Dataset, &one), job(Kind::Dataset, &two));
    }
}
