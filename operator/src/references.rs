//! References between resources, resolved to folders.
//!
//! Owns the lookup "which folder does this name stand for". Never checks whether the folder is filled: whoever runs the
//! stages starts a resource only after the ones it waits for.

use std::{collections::BTreeMap, path::PathBuf};

use bedplate_crds::dataset::Storage;

use crate::{
    layout::Layout,
    resource::{AnyResource, Kind, Metadata, ResourceKey},
};

/// The output folder of every resource that can be referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    dirs: BTreeMap<ResourceKey, PathBuf>,
}

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: there is no {wanted}; {}", remedy(.wanted, .known))]
pub struct NotFound {
    /// Path of the field that holds the name.
    pub field: String,
    /// What it points to.
    pub wanted: ResourceKey,
    /// Names of the same kind in the same namespace.
    pub known: Vec<String>,
}

fn remedy(wanted: &ResourceKey, known: &[String]) -> String {
    if known.is_empty() {
        format!("add a {} of that name to the manifests", wanted.kind)
    } else {
        format!("known in that namespace: {}", known.join(", "))
    }
}

impl References {
    /// The folders of these resources under that layout.
    pub fn new<'a>(resources: impl IntoIterator<Item = &'a AnyResource>, layout: &Layout) -> Self {
        let dirs = resources.into_iter().map(|resource| (resource.key(), dir_of(resource, layout))).collect();
        Self { dirs }
    }

    /// The folders of resources of which only the storage is known.
    pub fn located(found: impl IntoIterator<Item = (ResourceKey, Option<Storage>)>, layout: &Layout) -> Self {
        let dir = |key: &ResourceKey, storage: Option<&Storage>| {
            let ResourceKey { namespace, name, .. } = key.clone();
            let metadata = Metadata { name, namespace, labels: BTreeMap::new(), annotations: BTreeMap::new() };
            layout.output_dir(key.kind, &metadata, storage)
        };
        let dirs = found.into_iter().map(|(key, storage)| (key.clone(), dir(&key, storage.as_ref()))).collect();
        Self { dirs }
    }

    /// The folder of a resource, or an error that names the field and what is there instead.
    pub fn dir(&self, field: &str, wanted: &ResourceKey) -> Result<PathBuf, NotFound> {
        self.dirs.get(wanted).cloned().ok_or_else(|| NotFound {
            field: field.to_owned(),
            wanted: wanted.clone(),
            known: self
                .dirs
                .keys()
                .filter(|key| key.kind == wanted.kind && key.namespace == wanted.namespace)
                .map(|key| key.name.clone())
                .collect(),
        })
    }
}

fn dir_of(resource: &AnyResource, layout: &Layout) -> PathBuf {
    match resource {
        AnyResource::Dataset(r) => layout.output_dir(Kind::Dataset, &r.metadata, r.spec.storage.as_ref()),
        AnyResource::TrainingJob(r) => layout.output_dir(Kind::TrainingJob, &r.metadata, r.spec.storage.as_ref()),
        AnyResource::ModelDeployment(r) => layout.output_dir(Kind::ModelDeployment, &r.metadata, None),
    }
}
