//! Reads manifests from files, folders and standard input.
//!
//! Owns which files count, names that are taken twice over all of them, and the notes about what is not Bedplate's. Never
//! judges a value: the pure stages do.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use bedplate_operator::{
    manifest::{self, Manifest},
    resource::AnyResource,
};

use crate::refusal::{Refusal, Refused};

/// Ends of the file names that a folder's manifests have, as with `kubectl apply --filename FOLDER`.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A resource and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// `file, document 2`.
    pub place: String,
    /// The resource.
    pub resource: AnyResource,
}

/// What the files hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The resources of all the files, in order.
    pub located: Vec<Located>,
    /// What was passed over, a sentence each.
    pub notes: Vec<String>,
}

/// Reads all the files.
///
/// # Errors
/// Every unreadable file, everything in them that is wrong, every name that is there twice, and files without a resource.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, Refused> {
    let mut refusals = Vec::new();
    let mut loaded = Loaded::default();
    for path in paths {
        match texts(path) {
            Ok(texts) => texts.iter().for_each(|(origin, text)| add(origin, text, &mut loaded, &mut refusals)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if loaded.located.is_empty() && refusals.is_empty() {
        let passed_over = loaded.notes.join("; ");
        refusals.push(Refusal::new(format!("there is no Dataset, TrainingJob or ModelDeployment; {passed_over}")));
    }
    Refused::unless_empty(refusals, loaded)
}

fn add(origin: &str, text: &str, loaded: &mut Loaded, refusals: &mut Vec<Refusal>) {
    let Loaded { located, notes } = loaded;
    let Manifest { resources, passed_over } = manifest::read(origin, text);
    notes.extend(passed_over.iter().map(ToString::to_string));
    let mut added = Vec::new();
    for found in resources {
        match found {
            Ok((place, resource)) => match located.iter().find(|earlier| earlier.resource.key() == resource.key()) {
                Some(earlier) => {
                    let text = format!("{} is already in {}; rename one of them", resource.key(), earlier.place);
                    refusals.push(Refusal::at(&place, text));
                }
                None => added.push(Located { place, resource }),
            },
            Err(error) => refusals.push(Refusal::new(error)),
        }
    }
    located.extend(added);
}

/// Names and contents of what a path stands for.
fn texts(path: &Path) -> Result<Vec<(String, String)>, Refusal> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let origin = "standard input".to_owned();
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| Refusal::at(&origin, error))?;
        return Ok(vec![utf8(origin, bytes)?]);
    }
    if path.is_dir() {
        return manifests_in(path)?.iter().map(|file| read(file)).collect();
    }
    Ok(vec![read(path)?])
}

fn read(path: &Path) -> Result<(String, String), Refusal> {
    let origin = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Refusal::at(&origin, format!("cannot be read: {error}")))?;
    utf8(origin, bytes)
}

fn utf8(origin: String, bytes: Vec<u8>) -> Result<(String, String), Refusal> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok((origin, text)),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            Err(Refusal::at(&origin, format!("is not UTF-8 from byte {offset} on; a manifest is YAML text")))
        }
    }
}

/// The manifests right inside a folder, by name.
fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let origin = folder.display().to_string();
    let refused = |error: std::io::Error| Refusal::at(&origin, format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let is_manifest = path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known));
        if is_manifest && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Refusal::at(&origin, "holds no .yaml, .yml or .json file"));
    }
    files.sort();
    Ok(files)
}
