//! Turns a model's uri into a local path: `file:` as it is, `hf://owner/repository[/file]` through a cache.
//!
//! Downloads resume where they stopped, and each file is checked against the sha256 that the hub names before anyone
//! may read it. Reads no environment and knows nothing of what a model is but its files' names.
#![forbid(unsafe_code)]

mod cache;
mod download;
pub mod reach;
mod remote;
mod uri;
mod wire;

use std::path::PathBuf;

use download::FetchError;
pub use uri::{ModelUri, UriError};
pub use wire::WireError;

/// Where downloads come from and go to.
#[derive(Clone)]
pub struct Options {
    /// Folder of the cache, in the layout Hugging Face's own tools use.
    pub cache_dir: PathBuf,
    /// Base URL of the hub; none takes `https://huggingface.co`.
    pub endpoint: Option<String>,
    /// Access token for private or gated repositories.
    pub token: Option<String>,
}

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The uri is not one that is understood.
    #[error("could not understand the model uri")]
    ParseUri(#[from] UriError),
    /// A `file:` uri points to nothing.
    #[error("the model {path} does not exist; check model.uri", path = path.display())]
    FindLocal {
        /// The path.
        path: PathBuf,
    },
    /// The hub did not list the repository.
    #[error(
        "could not list the repository {repository}; check its name, the network, and HF_TOKEN if it is private or gated"
    )]
    ListRepository {
        /// `owner/name`.
        repository: String,
        /// What happened.
        source: Box<WireError>,
    },
    /// The hub, or where it redirects to, is no place to fetch from.
    #[error("could not fetch from {repository}; check HF_ENDPOINT")]
    Forbidden {
        /// `owner/name`.
        repository: String,
        /// Which place, and why not.
        source: Box<WireError>,
    },
    /// Nothing in the repository can be served.
    #[error("the repository {repository} {problem}")]
    ChooseFiles {
        /// `owner/name`.
        repository: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A file did not arrive.
    #[error(
        "could not download {file} of {repository}; what has arrived is kept and the next attempt goes on from there"
    )]
    Download {
        /// `owner/name`.
        repository: String,
        /// Path in the repository.
        file: String,
        /// What happened.
        source: Box<WireError>,
    },
    /// A file cannot be kept.
    #[error("could not write {file} of {repository} to the cache; is the disk full?")]
    Keep {
        /// `owner/name`.
        repository: String,
        /// Path in the repository.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A downloaded file could not be read back or marked as checked.
    #[error("could not check the downloaded file {path}; is the disk full?", path = path.display())]
    Check {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A downloaded file is not what the hub says it is.
    #[error(
        "the downloaded {file} of {repository} has sha256 {found}, but the hub names {expected}; it was removed, try again"
    )]
    Hash {
        /// `owner/name`.
        repository: String,
        /// Path in the repository.
        file: String,
        /// sha256 the hub names, hex.
        expected: String,
        /// sha256 of what arrived, hex.
        found: String,
    },
}

impl HubError {
    fn listing(repository: &str, source: WireError) -> Self {
        let repository = repository.to_owned();
        match source {
            source if source.is_forbidden() => Self::Forbidden { repository, source: Box::new(source) },
            source => Self::ListRepository { repository, source: Box::new(source) },
        }
    }

    fn download(repository: &str, file: &str, source: FetchError) -> Self {
        let (repository, file) = (repository.to_owned(), file.to_owned());
        match source {
            FetchError::Wire(source) if source.is_forbidden() => {
                Self::Forbidden { repository, source: Box::new(source) }
            }
            FetchError::Wire(source) => Self::Download { repository, file, source: Box::new(source) },
            FetchError::Keep(source) => Self::Keep { repository, file, source },
        }
    }
}

/// Fetches what `uri` names if it is not here yet, and returns the local file or folder.
///
/// # Errors
/// See [`HubError`].
pub fn resolve(uri: &str, options: &Options) -> Result<PathBuf, HubError> {
    match uri.parse::<ModelUri>()? {
        ModelUri::File(path) if path.exists() => Ok(path),
        ModelUri::File(path) => Err(HubError::FindLocal { path }),
        ModelUri::HuggingFace { repository, revision, file } => {
            remote::Repository::new(repository, revision, options)?.fetch(file)
        }
    }
}
