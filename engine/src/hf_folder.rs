//! A model in Hugging Face's layout: `config.json` beside one `model.safetensors` or an index over several.
//!
//! Owns which file holds which tensor; `llama` reads it as a model. Leaves the tokenizer's files to the tokenizer.

mod llama;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use llama::FolderConfig;

use crate::{
    durable, python_json,
    quant::Format,
    safetensors_file::{NamedTensor, SafetensorsError, SafetensorsFile, write_safetensors},
};

const CONFIG_FILE: &str = "config.json";
const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// What else a folder may have its weights in: pickles and their indexes are never read, others are other engines'.
const OTHER_CONTAINERS: [&str; 6] = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "consolidated.00.pth",
    "adapter_model.safetensors",
    "tf_model.h5",
    "flax_model.msgpack",
];
/// What the causal model's class puts before the base model's names.
const PREFIX: &str = "model.";
/// Bytes of each of two tensors that are compared at once.
const COMPARED_BYTES: usize = 1 << 20;
/// Bytes of tensors in one file; Hugging Face's own default for new uploads.
const MAX_SHARD_BYTES: usize = 5_000_000_000;

/// What went wrong with a model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFolderError {
    /// A JSON file of the folder is missing or unreadable.
    #[error("cannot read {}; a model folder holds config.json and model.safetensors", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A JSON file of the folder does not parse.
    #[error("{} is not valid JSON of its kind", path.display())]
    ParseFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// `config.json` describes no model that this engine computes.
    #[error("config.json in {}: {problem}", dir.display())]
    Config {
        /// The folder.
        dir: PathBuf,
        /// The key, what is wrong with it and what to do.
        problem: String,
    },
    /// There is a tensor that would change the arithmetic, and that no operation reads.
    #[error(
        "tensor {name} of {} is no part of a LLaMA-style decoder, and the model would compute something else without it; \
         use a model of the type llama",
        dir.display()
    )]
    Uncomputed {
        /// The folder.
        dir: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The weights are in a format that is not read.
    #[error(
        "{} has its weights as {found}, which is not supported; save the model as safetensors (save_pretrained does)",
        dir.display()
    )]
    Container {
        /// The folder.
        dir: PathBuf,
        /// The file.
        found: &'static str,
    },
    /// The index names a file outside the folder.
    #[error("{} maps {tensor} to {file:?}, which is not a file name in the folder", path.display())]
    IndexEntry {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it maps to.
        file: String,
    },
    /// A tensor the model needs is in none of the files.
    #[error("{} holds no tensor {name}; its config.json describes another model than its weights", dir.display())]
    MissingTensor {
        /// The folder.
        dir: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the model needs.
    #[error("tensor {name} of {} has shape {found:?} where config.json asks for {expected:?}", dir.display())]
    Shape {
        /// The folder.
        dir: PathBuf,
        /// The tensor.
        name: String,
        /// Shape the model needs.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A weights file is damaged or unreadable.
    #[error(transparent)]
    Weights(#[from] SafetensorsError),
    /// The folder cannot be written.
    #[error("cannot write {}", path.display())]
    WriteFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ModelFolderError {
    /// Whether the bytes of a file are damaged, rather than of a kind that is not supported.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Weights(source) if source.is_corruption())
    }
}

/// An open model folder.
#[derive(Debug)]
pub struct ModelFolder {
    dir: PathBuf,
    config: Value,
    files: Vec<SafetensorsFile>,
    places: BTreeMap<String, Place>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Place {
    file: usize,
    /// Its name there.
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Index {
    #[serde(default)]
    metadata: Value,
    weight_map: BTreeMap<String, String>,
}

impl ModelFolder {
    /// Reads `config.json` and the header of every weights file; each file's length is checked against its header.
    ///
    /// A whole `model.safetensors` wins over an index, which may be left from before; tensors that were saved without the
    /// prefix `model.` (those of the base model's class) are found with it. Both as in transformers.
    pub fn open(dir: &Path) -> Result<Self, ModelFolderError> {
        let config = read_json(&dir.join(CONFIG_FILE))?;
        let (single, index) = (dir.join(SINGLE_FILE), dir.join(INDEX_FILE));
        let (files, file_of) = match (single.exists(), index.exists()) {
            (false, true) => open_sharded(dir, &index)?,
            (false, false) => match OTHER_CONTAINERS.into_iter().find(|name| dir.join(name).exists()) {
                Some(found) => return Err(ModelFolderError::Container { dir: dir.to_owned(), found }),
                None => open_single(&single)?,
            },
            (true, _) => open_single(&single)?,
        };
        Ok(Self { dir: dir.to_owned(), config, files, places: places(file_of) })
    }

    /// The content of `config.json`.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Names of all tensors, sorted.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether a tensor is there (a tied head is usually not).
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Reads a tensor of the given shape, converted to f32, row-major.
    pub fn read_f32(&mut self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), ModelFolderError> {
        self.check(name, shape)?;
        let Place { file, name } = &self.places[name];
        Ok(self.files[*file].read_f32(name, out)?)
    }

    /// Reads a tensor of the given shape in the format it is stored in, row-major.
    pub fn read_stored(&mut self, name: &str, shape: &[usize]) -> Result<(Format, Vec<u8>), ModelFolderError> {
        let format = self.stored_format(name, shape)?;
        let Place { file, name } = &self.places[name];
        Ok((format, self.files[*file].read_raw(name)?))
    }

    /// The format that a tensor of the given shape is stored in.
    pub fn stored_format(&self, name: &str, shape: &[usize]) -> Result<Format, ModelFolderError> {
        self.check(name, shape)?;
        let Place { file, name } = &self.places[name];
        Ok(self.files[*file].stored_format(name)?)
    }

    /// Whether two tensors of one shape hold the same numbers.
    fn same_content(&mut self, one: &str, other: &str, shape: &[usize]) -> Result<bool, ModelFolderError> {
        if self.stored_format(one, shape)? != self.stored_format(other, shape)? {
            let mut values = [vec![0.0; shape.iter().product()], vec![0.0; shape.iter().product()]];
            self.read_f32(one, shape, &mut values[0])?;
            self.read_f32(other, shape, &mut values[1])?;
            return Ok(values[0] == values[1]);
        }
        let (one, other) = (&self.places[one], &self.places[other]);
        let num_bytes = self.files[one.file].num_bytes(&one.name)?;
        let mut parts = [vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]];
        for offset in (0..num_bytes).step_by(COMPARED_BYTES) {
            let len = (num_bytes - offset).min(COMPARED_BYTES as u64) as usize;
            for (place, part) in [one, other].into_iter().zip(&mut parts) {
                self.files[place.file].read_part(&place.name, offset, &mut part[..len])?;
            }
            if parts[0][..len] != parts[1][..len] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Refuses a tensor that is not there or has another shape.
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelFolderError> {
        let found = self.places.get(name).and_then(|place| self.files[place.file].shape(&place.name));
        match found {
            None => Err(ModelFolderError::MissingTensor { dir: self.dir.clone(), name: name.to_owned() }),
            Some(found) if found != shape => Err(ModelFolderError::Shape {
                dir: self.dir.clone(),
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: found.to_vec(),
            }),
            Some(_) => Ok(()),
        }
    }
}

/// Tensors under their names in the causal model's class.
fn places(file_of: BTreeMap<String, usize>) -> BTreeMap<String, Place> {
    let is_base_model = file_of.contains_key("embed_tokens.weight");
    let place = |(name, file): (String, usize)| {
        let prefixed = is_base_model && !name.starts_with(PREFIX) && !name.starts_with("lm_head.");
        (if prefixed { format!("{PREFIX}{name}") } else { name.clone() }, Place { file, name })
    };
    file_of.into_iter().map(place).collect()
}

type OpenFiles = (Vec<SafetensorsFile>, BTreeMap<String, usize>);

fn open_single(path: &Path) -> Result<OpenFiles, ModelFolderError> {
    let file = SafetensorsFile::open(path)?;
    let file_of = file.names().map(|name| (name.to_owned(), 0)).collect();
    Ok((vec![file], file_of))
}

fn open_sharded(dir: &Path, index_path: &Path) -> Result<OpenFiles, ModelFolderError> {
    let index: Index = read_json(index_path)?;
    let mut files = Vec::new();
    let mut number_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut file_of = BTreeMap::new();
    for (tensor, name) in index.weight_map {
        // An index comes from whoever made the model: it may not reach outside its folder.
        if Path::new(&name).file_name().is_none_or(|last| last != name.as_str()) {
            return Err(ModelFolderError::IndexEntry { path: index_path.to_owned(), tensor, file: name });
        }
        let number = match number_of.get(&name) {
            Some(number) => *number,
            None => {
                files.push(SafetensorsFile::open(&dir.join(&name))?);
                number_of.insert(name, files.len() - 1);
                files.len() - 1
            }
        };
        file_of.insert(tensor, number);
    }
    Ok((files, file_of))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelFolderError> {
    let bytes = fs::read(path).map_err(|source| ModelFolderError::ReadFile { path: path.to_owned(), source })?;
    python_json::from_slice(&bytes).map_err(|source| ModelFolderError::ParseFile { path: path.to_owned(), source })
}

/// Writes a model folder whole: built beside its place, flushed, then renamed over it.
///
/// `extra_files` are names and contents of what goes with the weights (tokenizer, generation settings).
pub fn write_model_folder(
    dir: &Path,
    config: &Value,
    tensors: &[NamedTensor<'_>],
    extra_files: &[(&str, &[u8])],
) -> Result<(), ModelFolderError> {
    write_sharded(dir, config, tensors, extra_files, MAX_SHARD_BYTES)
}

fn write_sharded(
    dir: &Path,
    config: &Value,
    tensors: &[NamedTensor<'_>],
    extra_files: &[(&str, &[u8])],
    max_shard_bytes: usize,
) -> Result<(), ModelFolderError> {
    let failed = |source| ModelFolderError::WriteFolder { path: dir.to_owned(), source };
    let staging = durable::staging_path(dir);
    durable::fresh_dir(&staging).map_err(failed)?;
    let json = |value: &Value| serde_json::to_vec_pretty(value).expect("a JSON value is always serialisable");
    durable::write_file(&staging.join(CONFIG_FILE), &json(config)).map_err(failed)?;
    for (name, bytes) in extra_files {
        durable::write_file(&staging.join(name), bytes).map_err(failed)?;
    }
    let shards = split_by_bytes(tensors, max_shard_bytes);
    if let [only] = shards.as_slice() {
        write_safetensors(&staging.join(SINGLE_FILE), only)?;
    } else {
        let mut weight_map = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
            write_safetensors(&staging.join(&name), shard)?;
            weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), name.clone())));
        }
        let total: usize = tensors.iter().map(|tensor| size_of_val(tensor.data)).sum();
        let index = Index { metadata: serde_json::json!({ "total_size": total }), weight_map };
        let index = serde_json::to_vec_pretty(&index).expect("names are strings");
        durable::write_file(&staging.join(INDEX_FILE), &index).map_err(failed)?;
    }
    durable::publish_dir(&staging, dir).map_err(failed)
}

/// Cuts tensors into runs of at most `max_bytes` (a larger tensor gets a run of its own), in order.
pub(crate) fn split_by_bytes<'slice, 'data>(
    tensors: &'slice [NamedTensor<'data>],
    max_bytes: usize,
) -> Vec<&'slice [NamedTensor<'data>]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, tensor) in tensors.iter().enumerate() {
        let size = size_of_val(tensor.data);
        if index > start && bytes + size > max_bytes {
            runs.push(&tensors[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    runs.push(&tensors[start..]);
    runs
}

#[cfg(test)]
mod tests;
