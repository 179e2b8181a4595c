//! One repository of the hub: which of its files a model needs, and fetching them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    HubError, Options,
    cache::Cache,
    download::{self, retry},
    uri::{is_inside, is_name},
    wire::{Wire, WireError},
};

/// Longest listing that is read: one of a hundred thousand files has some ten megabytes.
const MAX_LISTING_BYTES: u64 = 64 << 20;

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
    revision: String,
    wire: Wire,
    cache: Cache,
}

/// What the hub says of a repository.
#[derive(Debug, Default, Deserialize)]
struct Listing {
    sha: Option<String>,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Repository {
    pub(crate) fn new(name: String, revision: String, options: &Options) -> Result<Self, HubError> {
        let cache = Cache::new(&options.cache_dir, &name, &revision);
        let wire = Wire::new(options).map_err(|error| HubError::listing(&name, error))?;
        Ok(Self { name, revision, wire, cache })
    }

    /// Local path of `file`, or of the folder that holds everything the model needs.
    pub(crate) fn fetch(&self, file: Option<String>) -> Result<PathBuf, HubError> {
        if let Some(file) = file {
            return self.fetch_file(&file, None);
        }
        let listing = retry(|| self.list()).map_err(|error| HubError::listing(&self.name, error))?;
        let names: Vec<&str> = listing.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
        let files =
            choose(&names).map_err(|problem| HubError::ChooseFiles { repository: self.name.clone(), problem })?;
        let commit = listing.sha.as_deref();
        let paths = files.into_iter().map(|file| self.fetch_file(file, commit)).collect::<Result<Vec<_>, _>>()?;
        match <[PathBuf; 1]>::try_from(paths) {
            Ok([single]) => Ok(single),
            // The first is config.json, which lies at the folder's top.
            Err(paths) => Ok(paths[0].parent().map(Path::to_path_buf).unwrap_or_default()),
        }
    }

    fn list(&self) -> Result<Listing, WireError> {
        let mut reply = self.wire.get(&format!("api/models/{}/revision/{}", self.name, self.revision), 0)?;
        let body = reply.response.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_vec();
        let body = body.map_err(|source| WireError::Silent { host: reply.host.clone(), source: Box::new(source) })?;
        serde_json::from_slice(&body)
            .map_err(|error| WireError::Broken(format!("{} answers no listing of a repository: {error}", reply.host)))
    }

    /// `commit` is the one that the listing names.
    fn fetch_file(&self, file: &str, commit: Option<&str>) -> Result<PathBuf, HubError> {
        let path = match self.cache.find(file) {
            Some(path) => path,
            None => {
                tracing::info!(repository = self.name, file, "downloading");
                self.download(file, commit)?
            }
        };
        download::check(&self.name, file, &path)?;
        Ok(path)
    }

    fn download(&self, file: &str, commit: Option<&str>) -> Result<PathBuf, HubError> {
        let place = format!("{}/resolve/{}/{file}", self.name, self.revision);
        let fetched = download::fetch(&self.wire, &self.cache, &place);
        let fetched = fetched.map_err(|error| HubError::download(&self.name, file, error))?;
        // A mirror may leave out which commit a file is of; then the listing's stands, or the revision for itself.
        let known = [fetched.commit.as_deref(), commit, Some(&self.revision)];
        let commit = known.into_iter().flatten().find(|commit| is_name(commit)).unwrap_or("unknown");
        self.cache
            .publish(commit, file, &fetched.tag)
            .map_err(|source| HubError::Check { path: self.cache.blob(&fetched.tag), source })
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
