//! Manifests: YAML or JSON text of one or several documents, made into resources as kubectl and the API server would.
//!
//! Owns which documents are Bedplate's, lists of resources, and the errors, each with the document, the line and the field.
//! Never checks a value's range (that is `validate`) and never opens a file.

use std::fmt;

use bedplate_crds::{GROUP, VERSION};
use serde::de::DeserializeOwned;

use crate::{
    bounds,
    resource::{AnyResource, Kind, Resource, ResourceKey},
};

mod documents;
mod object_meta;
mod scalar;
mod shape;
mod spec;
mod yaml;

use shape::{Problem, Reader};
use yaml::{Node, Yaml};

/// Fields of a resource's document.
const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Why a manifest cannot be read. `origin` is the name the caller gave the text (its file).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Nothing in it.
    #[error("{origin} holds no resource; write at least one Dataset, TrainingJob or ModelDeployment")]
    Empty {
        /// Name of the text.
        origin: String,
    },
    /// Not YAML, or not of the shape of the kind: a wrong type, an unknown field, an unknown value.
    #[error("{place}: {reason}")]
    Parse {
        /// Text, document and item.
        place: String,
        /// Line, field, and what would be allowed.
        reason: String,
    },
    /// Another API.
    #[error("{place}: apiVersion is {found:?}; write {expected:?}")]
    ApiVersion {
        /// Text, document and item.
        place: String,
        /// What was written.
        found: String,
        /// What to write.
        expected: String,
    },
    /// A kind that the API does not have.
    #[error("{place}: kind is {found:?}; write Dataset, TrainingJob or ModelDeployment")]
    Kind {
        /// Text, document and item.
        place: String,
        /// What was written.
        found: String,
    },
    /// Two resources under one name.
    #[error("{place}: {key} is there twice; rename one of them")]
    Duplicate {
        /// Text, document and item.
        place: String,
        /// What is there twice.
        key: ResourceKey,
    },
}

/// A document of another API, which is somebody else's to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Text, document and item.
    pub place: String,
    /// Its kind.
    pub kind: String,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, kind, name } = self;
        let name = name.as_deref().unwrap_or("without a name");
        write!(f, "{place}: {kind} {name} is not one of Bedplate's kinds and is passed over")
    }
}

/// Everything that a text holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The resources in their order, each with its place, or what is wrong there.
    pub resources: Vec<Result<(String, AnyResource), ManifestError>>,
    /// What is not Bedplate's.
    pub passed_over: Vec<PassedOver>,
}

/// The resources of a manifest, in order. Documents of other kinds are passed over.
///
/// # Errors
/// The first thing that is wrong, with its line and field where they are known; and a text without a resource.
pub fn parse(origin: &str, text: &str) -> Result<Vec<AnyResource>, ManifestError> {
    let resources = read(origin, text).resources;
    if resources.is_empty() {
        return Err(ManifestError::Empty { origin: origin.to_owned() });
    }
    resources.into_iter().map(|found| found.map(|(_, resource)| resource)).collect()
}

/// Everything in a manifest, right or wrong. A text without any document gives the one error that says so.
pub fn read(origin: &str, text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    for (index, text) in documents::cut(text).iter().enumerate() {
        let place = format!("{origin}, document {}", index + 1);
        match yaml::read(text) {
            Ok(None) => {}
            Ok(Some(node)) => manifest.document(place, &node, None),
            Err(broken) => manifest.refuse(ManifestError::Parse { place, reason: broken.to_string() }),
        }
    }
    if manifest == Manifest::default() {
        manifest.refuse(ManifestError::Empty { origin: origin.to_owned() });
    }
    manifest
}

/// What a document says it is.
enum Content {
    Resource(Kind),
    /// Of any kinds, or of one where the items need not say it.
    List(Option<Kind>),
    Other,
}

impl Manifest {
    fn refuse(&mut self, error: ManifestError) {
        self.resources.push(Err(error));
    }

    fn refuse_all(&mut self, place: &str, problems: Vec<Problem>) {
        for problem in problems {
            self.refuse(ManifestError::Parse { place: place.to_owned(), reason: problem.to_string() });
        }
    }

    /// Takes a document, or an item of a list whose items are of that kind.
    fn document(&mut self, place: String, node: &Node, of_list: Option<Kind>) {
        match content(&place, node, of_list) {
            Ok(Content::Resource(kind)) => self.resource(place, node, kind),
            Ok(Content::List(kind)) => self.list(&place, node, kind),
            Ok(Content::Other) => {
                let name = node.get("metadata").and_then(|metadata| metadata.text("name")).map(str::to_owned);
                let kind = node.text("kind").unwrap_or_default().to_owned();
                self.passed_over.push(PassedOver { place, kind, name });
            }
            Err(error) => self.refuse(error),
        }
    }

    fn list(&mut self, place: &str, node: &Node, kind: Option<Kind>) {
        let Some(items) = node.get("items") else { return };
        let Yaml::List(items) = &items.value else {
            let mut reader = Reader::default();
            reader.refuse("items", "must be a list", items.at);
            return self.refuse_all(place, reader.problems);
        };
        for (index, item) in items.iter().enumerate() {
            self.document(format!("{place}, item {}", index + 1), item, kind);
        }
    }

    fn resource(&mut self, place: String, node: &Node, kind: Kind) {
        let mut reader = Reader::default();
        if let Yaml::Map(fields) = &node.value {
            for (key, _) in fields.iter().filter(|(key, _)| !FIELDS.contains(&key.name.as_str())) {
                reader.refuse(&key.name, format!("unknown field; use one of {}", FIELDS.join(", ")), key.at);
            }
        }
        let metadata = object_meta::read(&mut reader, kind, node.get("metadata"), node.at);
        let resource = match kind {
            Kind::Dataset => {
                spec_of(&mut reader, node, kind).map(|spec| AnyResource::Dataset(Resource { metadata, spec }))
            }
            Kind::TrainingJob => spec_of(&mut reader, node, kind)
                .map(|spec| AnyResource::TrainingJob(Box::new(Resource { metadata, spec }))),
            Kind::ModelDeployment => {
                spec_of(&mut reader, node, kind).map(|spec| AnyResource::ModelDeployment(Resource { metadata, spec }))
            }
        };
        match resource {
            Some(resource) if reader.problems.is_empty() => self.add(place, resource),
            _ => self.refuse_all(&place, reader.problems),
        }
    }

    fn add(&mut self, place: String, resource: AnyResource) {
        let key = resource.key();
        if self.resources.iter().flatten().any(|(_, earlier)| earlier.key() == key) {
            return self.refuse(ManifestError::Duplicate { place, key });
        }
        self.resources.push(Ok((place, resource)));
    }
}

fn spec_of<S: DeserializeOwned>(reader: &mut Reader, document: &Node, kind: Kind) -> Option<S> {
    let Some(node) = document.get("spec") else {
        reader.refuse("spec", "is required", document.at);
        return None;
    };
    spec::read(reader, node, bounds::spec_schema(kind))
}

/// What a document is by its `apiVersion` and `kind`.
fn content(place: &str, node: &Node, of_list: Option<Kind>) -> Result<Content, ManifestError> {
    let mut reader = Reader::default();
    let mut header = |name: &str| match node.get(name).map(|found| (&found.value, found.at)) {
        Some((Yaml::Text(text), _)) if !text.is_empty() => text.clone(),
        Some((_, at)) => {
            reader.refuse(name, "must be text", at);
            String::new()
        }
        None => {
            reader.refuse(name, "is required", node.at);
            String::new()
        }
    };
    if let (Some(kind), None, None) = (of_list, node.get("apiVersion"), node.get("kind")) {
        return Ok(Content::Resource(kind));
    }
    let (api_version, kind) = (header("apiVersion"), header("kind"));
    if let Some(problem) = reader.problems.first() {
        return Err(ManifestError::Parse { place: place.to_owned(), reason: problem.to_string() });
    }
    let expected = format!("{GROUP}/{VERSION}");
    let (single, is_list) = kind.strip_suffix("List").map_or((kind.as_str(), false), |single| (single, true));
    let known = Kind::ALL.into_iter().find(|known| known.name() == single);
    let place = place.to_owned();
    match known {
        _ if kind == "List" && api_version == "v1" => Ok(Content::List(None)),
        Some(known) if api_version == expected => {
            Ok(if is_list { Content::List(Some(known)) } else { Content::Resource(known) })
        }
        None if api_version == expected => Err(ManifestError::Kind { place, found: kind }),
        None if api_version.split('/').next() != Some(GROUP) => Ok(Content::Other),
        _ => Err(ManifestError::ApiVersion { place, found: api_version, expected }),
    }
}

#[cfg(test)]
mod tests;
