//! One repository of the hub: which of its files a model needs, and fetching them. The wire and the cache's layout are
//! hf-hub's; what is added here is the choice of files and the hash check.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{ApiBuilder, ApiRepo},
};
use sha2::{Digest, Sha256};

use crate::{HubError, Options, uri::is_inside};

/// Attempts at one file before its error is reported; each goes on where the last stopped.
const MAX_RETRIES: usize = 5;

/// What a safetensors model is loaded from, besides its weights.
const SIDE_FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// A repository and the cache its files go to.
pub(crate) struct Repository {
    name: String,
    api: ApiRepo,
    cache: hf_hub::CacheRepo,
}

impl Repository {
    pub(crate) fn new(name: String, revision: String, options: &Options) -> Result<Self, HubError> {
        let cache = Cache::new(options.cache_dir.clone());
        let repo = Repo::with_revision(name.clone(), RepoType::Model, revision);
        let mut builder = ApiBuilder::from_cache(cache.clone())
            .with_progress(false)
            .with_retries(MAX_RETRIES)
            .with_token(options.token.clone());
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let list_error = |source| HubError::ListRepository { repository: name.clone(), source: Box::new(source) };
        let api = builder.build().map_err(list_error)?.repo(repo.clone());
        Ok(Self { name, api, cache: cache.repo(repo) })
    }

    /// Local path of `file`, or of the folder that holds everything the model needs.
    pub(crate) fn fetch(&self, file: Option<String>) -> Result<PathBuf, HubError> {
        if let Some(file) = file {
            return self.fetch_file(&file);
        }
        let info = self.api.info();
        let info = info
            .map_err(|source| HubError::ListRepository { repository: self.name.clone(), source: Box::new(source) })?;
        let names: Vec<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
        let files =
            choose(&names).map_err(|problem| HubError::ChooseFiles { repository: self.name.clone(), problem })?;
        let paths = files.into_iter().map(|file| self.fetch_file(file)).collect::<Result<Vec<_>, _>>()?;
        match <[PathBuf; 1]>::try_from(paths) {
            Ok([single]) => Ok(single),
            // The first is config.json, which lies at the folder's top.
            Err(paths) => Ok(paths[0].parent().map(Path::to_path_buf).unwrap_or_default()),
        }
    }

    fn fetch_file(&self, file: &str) -> Result<PathBuf, HubError> {
        let path = match self.cache.get(file) {
            Some(path) => path,
            None => {
                tracing::info!(repository = self.name, file, "downloading");
                self.api.download(file).map_err(|source| HubError::Download {
                    repository: self.name.clone(),
                    file: file.to_owned(),
                    source: Box::new(source),
                })?
            }
        };
        self.check(file, &path)?;
        Ok(path)
    }

    /// Compares a large file's content with the sha256 in its blob's name, once; a marker beside it says it was done.
    fn check(&self, file: &str, pointer: &Path) -> Result<(), HubError> {
        let failed = |source| HubError::Check { path: pointer.to_path_buf(), source };
        let blob = pointer.canonicalize().map_err(failed)?;
        let expected = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Small files are named by their git object id; only those in large-file storage carry a sha256.
        if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        let marker = blob.with_extension("verified");
        if marker.exists() {
            return Ok(());
        }
        let found = sha256(&blob).map_err(failed)?;
        if found != expected.to_ascii_lowercase() {
            std::fs::remove_file(pointer).map_err(failed)?;
            std::fs::remove_file(&blob).map_err(failed)?;
            let (repository, file) = (self.name.clone(), file.to_owned());
            return Err(HubError::Hash { repository, file, expected, found });
        }
        File::create(marker).map_err(failed)?;
        Ok(())
    }
}

/// Bytes read at a time while hashing.
const HASH_BUFFER: usize = 1 << 20;

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut reader = File::open(path)?;
    let mut buffer = vec![0; HASH_BUFFER];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Which files a model needs: `config.json` first and then all it is loaded with, or the one GGUF file.
fn choose<'a>(names: &[&'a str]) -> Result<Vec<&'a str>, String> {
    if let Some(name) = names.iter().find(|name| !is_inside(name) && wanted(name)) {
        return Err(format!("lists a file outside of itself ({name}); do not use it"));
    }
    if names.contains(&"config.json") && names.iter().any(|name| is_weights(name)) {
        let mut files: Vec<&str> = names.iter().copied().filter(|name| wanted(name)).collect();
        files.sort_by_key(|&name| (name != "config.json", name));
        return Ok(files);
    }
    let ggufs: Vec<&str> = names.iter().copied().filter(|name| name.ends_with(".gguf") && is_inside(name)).collect();
    match ggufs.as_slice() {
        [single] => Ok(vec![single]),
        [] => Err("has neither config.json with safetensors nor a GGUF file; name another".to_owned()),
        many => Err(format!("has {} GGUF files; name one, like hf://owner/repository/{}", many.len(), many[0])),
    }
}

fn wanted(name: &str) -> bool {
    SIDE_FILES.contains(&name) || is_weights(name) || is_named_template(name)
}

/// Chat templates besides the default one, each in a file of its own.
fn is_named_template(name: &str) -> bool {
    name.starts_with("additional_chat_templates/") && name.ends_with(".jinja")
}

fn is_weights(name: &str) -> bool {
    name.starts_with("model") && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_a_safetensors_folder_before_anything_else() {
        let template = "additional_chat_templates/rag.jinja";
        let others = ["README.md", "onnx/model.onnx", "a.gguf", "additional_chat_templates/notes.txt"];
        let names = [&others[..], &["model.safetensors", "config.json", "tokenizer.json", template]].concat();
        assert_eq!(choose(&names).unwrap(), ["config.json", template, "model.safetensors", "tokenizer.json"]);
    }

    #[test]
    fn one_gguf_is_enough_and_two_are_too_many() {
        assert_eq!(choose(&["README.md", "a.gguf"]).unwrap(), ["a.gguf"]);
        assert!(choose(&["a.gguf", "b.gguf"]).unwrap_err().contains("hf://owner/repository/a.gguf"));
        assert!(choose(&["pytorch_model.bin", "config.json"]).is_err());
    }

    #[test]
    fn a_listing_cannot_leave_its_folder() {
        assert!(choose(&["config.json", "model/../../x.safetensors"]).is_err());
    }
}
