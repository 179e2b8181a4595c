//! Manifests: YAML text of one or several documents, made into resources.
//!
//! Owns the cut into documents and the errors, each with the document, the line and the field. Never checks a value's
//! range (that is `validate`) and never opens a file.

use bedplate_crds::{GROUP, VERSION};
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};

use crate::resource::{AnyResource, Kind, Metadata, Resource, ResourceKey};

/// Why a manifest cannot be read. `origin` is the name the caller gave the text (its file), `document` counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Nothing in it.
    #[error("{origin} holds no resource; write at least one Dataset, TrainingJob or ModelDeployment")]
    Empty {
        /// Name of the text.
        origin: String,
    },
    /// Not YAML, or not of the shape of the kind: a wrong type, an unknown field, an unknown value.
    #[error("{origin}, document {document}: {reason}")]
    Parse {
        /// Name of the text.
        origin: String,
        /// Number of the document.
        document: usize,
        /// Line, field, and what would be allowed.
        reason: String,
    },
    /// Another API.
    #[error("{origin}, document {document}: apiVersion is {found:?}; write {expected:?}")]
    ApiVersion {
        /// Name of the text.
        origin: String,
        /// Number of the document.
        document: usize,
        /// What was written.
        found: String,
        /// What to write.
        expected: String,
    },
    /// A kind of some other API.
    #[error("{origin}, document {document}: kind is {found:?}; write Dataset, TrainingJob or ModelDeployment")]
    Kind {
        /// Name of the text.
        origin: String,
        /// Number of the document.
        document: usize,
        /// What was written.
        found: String,
    },
    /// Two resources under one name.
    #[error("{origin}, document {document}: {key} is there twice; rename one of them")]
    Duplicate {
        /// Name of the text.
        origin: String,
        /// Number of the document.
        document: usize,
        /// What is there twice.
        key: ResourceKey,
    },
}

/// What every document begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

/// A whole document of one kind. A `status`, as in the output of `kubectl get --output yaml`, is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<S> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Metadata,
    spec: S,
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
}

/// The resources of a manifest, in order.
///
/// # Errors
/// The first document that is not one of the three kinds, with its line and field where the parser knows them.
pub fn parse(origin: &str, text: &str) -> Result<Vec<AnyResource>, ManifestError> {
    parse_each(origin, text).into_iter().collect()
}

/// Every document of a manifest, in order: a resource, or what is wrong with that document. Never empty: a text without
/// a document gives the one error that says so.
pub fn parse_each(origin: &str, text: &str) -> Vec<Result<AnyResource, ManifestError>> {
    let mut parsed: Vec<Result<AnyResource, ManifestError>> = Vec::new();
    for (index, yaml) in documents(text).into_iter().enumerate() {
        let place = Place { origin, document: index + 1 };
        let resource = place.parse(&yaml).and_then(|resource| {
            if parsed.iter().flatten().any(|earlier| earlier.key() == resource.key()) {
                let origin = origin.to_owned();
                return Err(ManifestError::Duplicate { origin, document: place.document, key: resource.key() });
            }
            Ok(resource)
        });
        parsed.push(resource);
    }
    if parsed.is_empty() {
        parsed.push(Err(ManifestError::Empty { origin: origin.to_owned() }));
    }
    parsed
}

struct Place<'a> {
    origin: &'a str,
    document: usize,
}

impl Place<'_> {
    fn parse(&self, yaml: &str) -> Result<AnyResource, ManifestError> {
        let header: Header = self.deserialize(yaml)?;
        let origin = self.origin.to_owned();
        let document = self.document;
        let expected = format!("{GROUP}/{VERSION}");
        if header.api_version != expected {
            return Err(ManifestError::ApiVersion { origin, document, found: header.api_version, expected });
        }
        match Kind::ALL.into_iter().find(|kind| kind.name() == header.kind) {
            Some(Kind::Dataset) => Ok(AnyResource::Dataset(self.resource(yaml)?)),
            Some(Kind::TrainingJob) => Ok(AnyResource::TrainingJob(Box::new(self.resource(yaml)?))),
            Some(Kind::ModelDeployment) => Ok(AnyResource::ModelDeployment(self.resource(yaml)?)),
            None => Err(ManifestError::Kind { origin, document, found: header.kind }),
        }
    }

    fn resource<S: DeserializeOwned>(&self, yaml: &str) -> Result<Resource<S>, ManifestError> {
        let Document { metadata, spec, .. } = self.deserialize(yaml)?;
        Ok(Resource { metadata, spec })
    }

    fn deserialize<T: DeserializeOwned>(&self, yaml: &str) -> Result<T, ManifestError> {
        let mut field = String::new();
        let parsed = serde_saphyr::with_deserializer_from_str(yaml, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        parsed.map_err(|error| ManifestError::Parse {
            origin: self.origin.to_owned(),
            document: self.document,
            reason: reason(&field, error.without_snippet()),
        })
    }
}

/// The field, as far as the parser got, and what is wrong with it in words that are not Rust's.
fn reason(field: &str, error: &serde_saphyr::Error) -> String {
    let text = match error {
        serde_saphyr::Error::InvalidScalar { ty, location } => {
            let wanted = match *ty {
                "bool" => "true or false",
                ty if ty.starts_with('u') => "a whole number, 0 or more",
                ty if ty.starts_with('i') => "a whole number",
                _ => "a number",
            };
            format!("must be {wanted}, at line {}, column {}", location.line(), location.column())
        }
        other => other.to_string(),
    };
    // Where the YAML itself is broken the last part is not known.
    match field.trim_end_matches('?').trim_end_matches('.') {
        "" => text,
        field => format!("{field}: {text}"),
    }
}

/// Cuts at the lines that begin with `---` (YAML 1.2.2 §9.1.2 forbids them inside a document). Every part is preceded by
/// as many empty lines as the text before it has, so that the parser's line numbers are those of the file.
fn documents(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut has_content = false;
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") || line.starts_with("---\t") {
            if has_content {
                parts.push(String::new());
                has_content = false;
            }
            let part = parts.last_mut().expect("there is always one part");
            *part = "\n".repeat(number);
            part.push_str(line.trim_start_matches("---"));
            part.push('\n');
            continue;
        }
        let trimmed = line.trim_start();
        has_content |= !trimmed.is_empty() && !trimmed.starts_with('#');
        let part = parts.last_mut().expect("there is always one part");
        part.push_str(line);
        part.push('\n');
    }
    if !has_content {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests;
