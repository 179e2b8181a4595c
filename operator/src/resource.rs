//! A resource as the pure stages see it: its name, its namespace and its spec.
//!
//! Owns what is common to the three kinds. Never holds a status and never talks to a cluster.

use std::{collections::BTreeMap, fmt};

use bedplate_crds::{
    dataset::DatasetSpec, job::JobMetadata, model_deployment::ModelDeploymentSpec, training_job::TrainingJobSpec,
};
use serde::{Deserialize, Serialize};

/// The kinds of the API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text in, token shards out.
    Dataset,
    /// A model, its data and its recipe.
    TrainingJob,
    /// A model behind an endpoint.
    ModelDeployment,
}

impl Kind {
    /// Every kind, in the order in which their results depend on each other.
    pub const ALL: [Self; 3] = [Self::Dataset, Self::TrainingJob, Self::ModelDeployment];

    /// Whether it becomes a Service, whose name begins with the resource's.
    pub fn has_service(self) -> bool {
        match self {
            Self::Dataset => false,
            Self::TrainingJob | Self::ModelDeployment => true,
        }
    }

    /// The name in `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataset => "Dataset",
            Self::TrainingJob => "TrainingJob",
            Self::ModelDeployment => "ModelDeployment",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Namespace of a resource whose manifest names none, as with `kubectl`.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The part of a resource's metadata that Bedplate reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique among its kind in its namespace.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Labels, carried along.
    pub labels: BTreeMap<String, String>,
    /// Annotations, carried along.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// What the job file says about its origin.
    pub fn to_job(&self) -> JobMetadata {
        JobMetadata {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            traceparent: self.annotations.get(TRACEPARENT_ANNOTATION).cloned(),
        }
    }
}

/// Annotation that carries the W3C trace context of whoever applied the resource.
pub const TRACEPARENT_ANNOTATION: &str = "bedplate.dev/traceparent";

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource<S> {
    /// Who it is.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: S,
}

/// A resource of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyResource {
    /// A Dataset.
    Dataset(Resource<DatasetSpec>),
    /// A TrainingJob.
    TrainingJob(Box<Resource<TrainingJobSpec>>),
    /// A ModelDeployment.
    ModelDeployment(Resource<ModelDeploymentSpec>),
}

impl AnyResource {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dataset(_) => Kind::Dataset,
            Self::TrainingJob(_) => Kind::TrainingJob,
            Self::ModelDeployment(_) => Kind::ModelDeployment,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Dataset(resource) => &resource.metadata,
            Self::TrainingJob(resource) => &resource.metadata,
            Self::ModelDeployment(resource) => &resource.metadata,
        }
    }

    /// The key other resources refer to it by.
    pub fn key(&self) -> ResourceKey {
        let metadata = self.metadata();
        ResourceKey { kind: self.kind(), namespace: metadata.namespace.clone(), name: metadata.name.clone() }
    }

    /// The resources it waits for, in the order of its spec, each once.
    pub fn dependencies(&self) -> Vec<ResourceKey> {
        match self {
            Self::Dataset(_) => Vec::new(),
            Self::TrainingJob(resource) => crate::training_job::dependencies(resource),
            Self::ModelDeployment(resource) => crate::model_deployment::dependencies(resource),
        }
    }
}

/// Kind, namespace and name: what a reference points to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace; references never leave that of the resource which holds them.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
