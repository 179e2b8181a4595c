//! Leaves the final model in Hugging Face's layout, for inference and for transformers.
//!
//! Owns the folder `model/` and what says which checkpoint it was made from. Written whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bedplate_engine::{
    ModelConfig, Weights,
    hf_folder::{ModelFolder, ModelFolderError, write_model_folder},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{checkpoints::tensors, data::Dataset};

const FOLDER: &str = "model";
/// Where the model came from; loaders of models pass over files they do not know.
const ORIGIN_FILE: &str = "bedplate.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
/// The number format that the weights are written in, whatever the one was that training began with.
const STORED_DTYPE: &str = "float32";
/// Other names of what the trained model's config says in its own words.
const SAID_ANEW: [&str; 2] = ["dtype", "rope_scaling"];
/// What may stand beside a tokenizer, taken from the Dataset or else from the model that training began with.
const SIDE_FILES: [&str; 4] = [TOKENIZER_CONFIG, GENERATION_CONFIG, "special_tokens_map.json", "chat_template.jinja"];

/// Why the final model is not there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The tokenizer's files cannot be read.
    #[error("cannot read {}, which belongs beside the model", path.display())]
    ReadSideFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error("cannot leave the final model; free space below outputDir and start again, training is done")]
    Write(#[from] ModelFolderError),
}

/// Content of the origin file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    checkpoint_digest: String,
}

/// What goes into the folder.
#[derive(Clone, Copy, Debug)]
pub struct FinalModel<'a> {
    /// Shape of the model.
    pub config: &'a ModelConfig,
    /// Its weights.
    pub weights: &'a Weights,
    /// The Dataset whose tokenizer it speaks.
    pub data: &'a Dataset,
    /// Folder of the model that training began with.
    pub start: Option<&'a Path>,
    /// Digest of the final checkpoint.
    pub digest: &'a str,
}

impl FinalModel<'_> {
    /// Writes `model/` below `output_dir`.
    pub fn write(&self, output_dir: &Path) -> Result<(), ExportError> {
        let end_of_text = self.data.manifest().end_of_text_id;
        let mut config = Value::Object(self.config_json()?);
        if config["eos_token_id"].is_null() {
            config["eos_token_id"] = json!(end_of_text);
        }
        let files = self.files(&config["eos_token_id"])?;
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let tensors = tensors(self.weights.layout(), "", self.weights.as_slice());
        Ok(write_model_folder(&output_dir.join(FOLDER), &config, &tensors, &files)?)
    }

    /// The config that training began with, where there was one, with what holds for the trained weights in it.
    fn config_json(&self) -> Result<Map<String, Value>, ExportError> {
        let mut config = match self.start {
            Some(dir) => match ModelFolder::open(dir)?.config() {
                Value::Object(config) => config.clone(),
                _ => Map::new(),
            },
            None => Map::new(),
        };
        SAID_ANEW.iter().for_each(|key| {
            config.remove(*key);
        });
        config.extend(ModelConfig { dtype: Some(STORED_DTYPE.to_owned()), ..self.config.clone() }.to_json());
        Ok(config)
    }

    fn files(&self, end_of_text: &Value) -> Result<Vec<(&'static str, Vec<u8>)>, ExportError> {
        let folders = [Some(self.data.dir()), self.start];
        let mut files = Vec::new();
        for name in std::iter::once("tokenizer.json").chain(SIDE_FILES) {
            if let Some(bytes) = first_there(folders.into_iter().flatten(), name)? {
                files.push((name, bytes));
            }
        }
        let mut add = |name, content: Value| {
            if files.iter().all(|(there, _)| *there != name) {
                files.push((name, content.to_string().into_bytes()));
            }
        };
        add(TOKENIZER_CONFIG, self.tokenizer_config());
        add(GENERATION_CONFIG, json!({ "eos_token_id": end_of_text }));
        let origin = Origin { checkpoint_digest: self.digest.to_owned() };
        add(ORIGIN_FILE, serde_json::to_value(origin).expect("a string is always serialisable"));
        Ok(files)
    }

    /// For a tokenizer that was trained with the Dataset: no text begins with a token of its own.
    fn tokenizer_config(&self) -> Value {
        let manifest = self.data.manifest();
        let end_of_text =
            self.data.tokenizer().ok().and_then(|tokenizer| tokenizer.token_text(manifest.end_of_text_id));
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": end_of_text,
            "add_bos_token": false,
            "clean_up_tokenization_spaces": false,
            "model_max_length": self.config.max_position_embeddings,
        })
    }
}

fn first_there<'a>(folders: impl Iterator<Item = &'a Path>, name: &str) -> Result<Option<Vec<u8>>, ExportError> {
    for path in folders.map(|folder| folder.join(name)) {
        match fs::read(&path) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ExportError::ReadSideFile { path, source }),
        }
    }
    Ok(None)
}

/// Digest of the checkpoint that the model below `output_dir` was made from; none where there is no model.
pub fn digest_of(output_dir: &Path) -> Option<String> {
    let bytes = fs::read(output_dir.join(FOLDER).join(ORIGIN_FILE)).ok()?;
    serde_json::from_slice::<Origin>(&bytes).ok().map(|origin| origin.checkpoint_digest)
}
