//! Brings a tokenizer that somebody else made into a local folder.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::TOKENIZER_FILE;
use bedplate_crds::uri::ShownUri;

use crate::{
    context::Context,
    record::{self, RecordError},
    source::{Client, RemoteError, local_path},
};

/// What a tokenizer is made of; only the first must be there.
pub(super) use bedplate_tokenizer::folder::FILES;

/// Where a fetched tokenizer is kept, under `.stages`.
const FOLDER: &str = "fetched-tokenizer";
/// Largest file that is taken: published tokenizers stay below 40 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why a tokenizer could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The uri cannot be understood.
    #[error("spec.tokenizer.uri: {uri} is not understood; use file:, http(s)://, s3:// or hf://owner/repository")]
    ParseUri {
        /// The uri.
        uri: ShownUri,
    },
    /// There is no tokenizer.
    #[error("spec.tokenizer.uri: there is no {path}; name a tokenizer.json or the folder that holds it", path = path.display())]
    Find {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is too large to be one.
    #[error("spec.tokenizer.uri: {uri} is larger than 256 MiB; name a tokenizer.json")]
    Size {
        /// The uri.
        uri: ShownUri,
    },
    /// The connection broke for good, or the server refused.
    #[error("spec.tokenizer.uri cannot be used")]
    Fetch(#[from] RemoteError),
    /// The stream broke for good.
    #[error("spec.tokenizer.uri cannot be read")]
    Read(#[source] io::Error),
    /// The hub refused.
    #[error("spec.tokenizer.uri cannot be fetched")]
    Hub(#[from] bedplate_hub::HubError),
    /// The copy cannot be kept.
    #[error(transparent)]
    Keep(#[from] RecordError),
}

/// A local folder with the files of the tokenizer at `uri`.
pub(super) fn fetch(context: &Context<'_>, uri: &str) -> Result<PathBuf, LoadError> {
    if let Some(path) = uri.strip_prefix("file:") {
        let path = local_path(path, &context.roots.input_root);
        let (folder, file) = if path.is_dir() { (path.clone(), path.join(TOKENIZER_FILE)) } else { parent(&path) };
        if !file.is_file() {
            return Err(LoadError::Find { path: file });
        }
        // A file of another name is copied, so that everyone finds it under the usual one.
        return if file.ends_with(TOKENIZER_FILE) { Ok(folder) } else { copy(context, uri, || File::open(&file)) };
    }
    if let Some(repository) = uri.strip_prefix("hf://") {
        return from_hub(context, repository);
    }
    let client = Client::new(&context.roots.environment, &context.stop)?;
    let object = if uri.starts_with("s3://") {
        client.s3_objects(uri)?.into_iter().find(|object| object.path.ends_with(".json"))
    } else if uri.starts_with("http://") || uri.starts_with("https://") {
        Some(client.http_object(uri)?)
    } else {
        return Err(LoadError::ParseUri { uri: ShownUri::new(uri) });
    };
    let object = object.ok_or_else(|| LoadError::Find { path: ShownUri::new(uri).as_str().into() })?;
    copy(context, uri, || Ok(object.reader()))
}

fn parent(path: &Path) -> (PathBuf, PathBuf) {
    (path.parent().unwrap_or(path).to_owned(), path.to_owned())
}

/// Keeps what `open` reads as the `tokenizer.json` of an otherwise empty folder.
fn copy<R: Read>(context: &Context<'_>, uri: &str, open: impl FnOnce() -> io::Result<R>) -> Result<PathBuf, LoadError> {
    let folder = context.workspace.begin(FOLDER)?;
    let mut content = Vec::new();
    let mut reader = open().map_err(LoadError::Read)?.take(MAX_FILE_BYTES + 1);
    reader.read_to_end(&mut content).map_err(LoadError::Read)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(LoadError::Size { uri: ShownUri::new(uri) });
    }
    record::write_durably(&folder.join(TOKENIZER_FILE), &content)?;
    Ok(folder)
}

/// The tokenizer of `owner/repository[@revision][/tokenizer.json]`.
fn from_hub(context: &Context<'_>, repository: &str) -> Result<PathBuf, LoadError> {
    let cache_dir = context.workspace.folder("hub")?;
    let value = |name: &str| {
        let mut variables = context.roots.environment.iter();
        variables.find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    let options = bedplate_hub::Options { cache_dir, endpoint: value("HF_ENDPOINT"), token: value("HF_TOKEN") };
    let base = repository.trim_end_matches('/').trim_end_matches("/tokenizer.json");
    let fetch = |file: &str| bedplate_hub::resolve(&format!("hf://{base}/{file}"), &options);
    let path = fetch(TOKENIZER_FILE)?;
    for file in &FILES[1..] {
        if let Err(error) = fetch(file) {
            // Many repositories have no such file; where it is needed, the missing end of text will tell.
            tracing::info!(file, error = %bedplate_telemetry::chain::Chain(&error), "the repository gives no such file");
        }
    }
    Ok(parent(&path).0)
}
