//! The model to train: its shape, and the weights it starts from.
//!
//! Owns where both come from (a config, a folder, a hub). Never trains it.

use std::{path::PathBuf, sync::Arc};

use bedplate_crds::{
    job::TrainerJob,
    training_job::{ModelShape, ModelSource},
};
use bedplate_engine::{
    ConfigError, ModelConfig, ParamLayout, TokenIds, Weights,
    hf_folder::{FolderConfig, ModelFolder, ModelFolderError},
};
use bedplate_hub::HubError;
use bedplate_tokenizer::{Tokenizer, TokenizerError};

use crate::data::{Dataset, DatasetError, TrainingData};

/// Folder below the output for downloads, where the job file names no other.
const DOWNLOADS: &str = "downloads";

/// Why the model cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The job file names no folder for a model that another job trains.
    #[error("modelDir is missing; write the folder of the model of TrainingJob {name}")]
    FindFolder {
        /// The other job.
        name: String,
    },
    /// The uri leads to a single file.
    #[error("spec.model.uri leads to the file {}; training continues from a folder of safetensors", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The uri leads nowhere.
    #[error("spec.model.uri cannot be fetched")]
    Fetch(#[source] HubError),
    /// The folder cannot be read.
    #[error("the model to continue from cannot be read")]
    Folder(#[from] ModelFolderError),
    /// The shape cannot be computed.
    #[error("the model's config cannot be used")]
    Config(#[from] ConfigError),
    /// The data has tokens that the model has no embedding for.
    #[error("{field} is {found}, but the tokenizer of Dataset {dataset} has {needed} entries; {remedy}")]
    Vocabulary {
        /// Where the number is written.
        field: String,
        /// The number.
        found: usize,
        /// Name of the Dataset.
        dataset: String,
        /// Entries of its tokenizer.
        needed: u32,
        /// What to change.
        remedy: &'static str,
    },
    /// The data has a token that the model, which is trained already, has no embedding for.
    #[error(
        "Dataset {dataset} holds token {token} ({text:?}), but the model has only {vocab_size} embeddings; leave the token out of the text, or use a model whose embedding was enlarged for it"
    )]
    TokenBeyond {
        /// Name of the Dataset.
        dataset: String,
        /// The first such token.
        token: u32,
        /// How the tokenizer writes it.
        text: Option<String>,
        /// Entries of the model's embedding.
        vocab_size: usize,
    },
    /// The data's sequences are longer than the model's positions.
    #[error("{field} is {found}, but Dataset {dataset} has a packing.sequenceLength of {needed}; {remedy}")]
    Positions {
        /// Where the number is written.
        field: String,
        /// The number.
        found: usize,
        /// Name of the Dataset.
        dataset: String,
        /// Tokens of its sequences.
        needed: u32,
        /// What to change.
        remedy: &'static str,
    },
    /// The model was trained on other tokens.
    #[error("token {id} is {theirs:?} in {} but {ours:?} in Dataset {dataset}; give the Dataset the model's tokenizer with tokenizer.type load", dir.display())]
    Tokenizer {
        /// Id of the first token that differs.
        id: u32,
        /// How the model's tokenizer writes it.
        theirs: Option<String>,
        /// How the Dataset's tokenizer writes it.
        ours: Option<String>,
        /// Name of the Dataset.
        dataset: String,
        /// Folder of the model.
        dir: PathBuf,
    },
    /// A tokenizer cannot be read.
    #[error(transparent)]
    ReadTokenizer(#[from] TokenizerError),
    /// The Dataset's tokenizer cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Where a model comes from over the network.
#[derive(Clone, Default)]
pub struct HubAccess {
    /// Base URL of the hub; none takes the public one.
    pub endpoint: Option<String>,
    /// Access token.
    pub token: Option<String>,
}

/// A model whose shape fits the data.
#[derive(Clone, Debug)]
pub struct StartModel {
    /// Its shape.
    pub config: ModelConfig,
    /// Folder of the weights it starts from; none starts from random ones.
    pub folder: Option<PathBuf>,
}

impl StartModel {
    /// Finds the job's model (downloading it if it is not here yet) and checks that it fits the data.
    pub fn find(job: &TrainerJob, all: &TrainingData, hub: &HubAccess) -> Result<Self, ModelError> {
        let data = all.first();
        let model = match &job.spec.model {
            ModelSource::Config { config } => Self { config: config_of(config, data), folder: None },
            ModelSource::TrainingJob { name } => {
                let dir = job.model_dir.clone();
                Self::in_folder(dir.ok_or_else(|| ModelError::FindFolder { name: name.clone() })?)?
            }
            ModelSource::Uri { uri } => Self::in_folder(match &job.model_dir {
                Some(dir) => dir.clone(),
                None => fetch(job, uri, hub)?,
            })?,
        };
        model.config.validate()?;
        model.check_sizes(data)?;
        model.check_tokenizer(data)?;
        model.check_tokens(all)?;
        Ok(model)
    }

    fn in_folder(dir: PathBuf) -> Result<Self, ModelError> {
        if dir.is_file() {
            return Err(ModelError::NotAFolder { path: dir });
        }
        let FolderConfig { config, notes } = ModelFolder::open(&dir)?.model_config()?;
        notes.iter().for_each(|note| tracing::warn!("{}: {note}", dir.display()));
        Ok(Self { config, folder: Some(dir) })
    }

    /// The weights to start from: the folder's, or random ones of this seed.
    pub fn weights(&self, layout: &Arc<ParamLayout>, seed: u64) -> Result<Weights, ModelError> {
        let Some(dir) = &self.folder else { return Ok(Weights::init(layout.clone(), &self.config, seed)) };
        let mut folder = ModelFolder::open(dir)?;
        let mut weights = Weights::zeros(layout.clone());
        for param in layout.params() {
            folder.read_f32(&param.name, &param.shape, &mut weights.as_mut_slice()[param.range.clone()])?;
        }
        Ok(weights)
    }

    fn check_sizes(&self, data: &Dataset) -> Result<(), ModelError> {
        let manifest = data.manifest();
        let (at, remedy) = match &self.folder {
            None => ("spec.model.config".to_owned(), "raise it, or leave it out"),
            Some(dir) => (format!("{}/config.json:", dir.display()), "choose a Dataset that fits the model"),
        };
        let field = |name: &str| if self.folder.is_none() { format!("{at}.{name}") } else { format!("{at} {name}") };
        let dataset = data.name().to_owned();
        // A model that exists may have a tokenizer with more tokens than it knows; what counts is whether the data holds one.
        if self.folder.is_none() && self.config.vocab_size < manifest.vocab_size as usize {
            let (found, needed) = (self.config.vocab_size, manifest.vocab_size);
            return Err(ModelError::Vocabulary { field: field("vocab_size"), found, dataset, needed, remedy });
        }
        if self.config.max_position_embeddings < manifest.sequence_length as usize {
            let (found, needed) = (self.config.max_position_embeddings, manifest.sequence_length);
            let field = field("max_position_embeddings");
            return Err(ModelError::Positions { field, found, dataset, needed, remedy });
        }
        Ok(())
    }

    /// No Dataset holds a token beyond the embedding.
    fn check_tokens(&self, data: &TrainingData) -> Result<(), ModelError> {
        let vocab_size = self.config.vocab_size;
        for dataset in data.datasets().iter().filter(|dataset| dataset.manifest().vocab_size as usize > vocab_size) {
            if let Some(token) = dataset.find_token_from(vocab_size as u32) {
                let (dataset, text) = (dataset.name().to_owned(), dataset.tokenizer()?.token_text(token));
                return Err(ModelError::TokenBeyond { dataset, token, text, vocab_size });
            }
        }
        Ok(())
    }

    /// Ids mean what they meant when the model was trained before. A folder without a tokenizer is taken at its word.
    fn check_tokenizer(&self, data: &Dataset) -> Result<(), ModelError> {
        let Some(dir) = self.folder.as_ref().filter(|dir| dir.join("tokenizer.json").exists()) else { return Ok(()) };
        let (ours, theirs) = (data.tokenizer()?, Tokenizer::from_file(dir.join("tokenizer.json"))?);
        let differs = |id: &u32| ours.token_text(*id) != theirs.token_text(*id);
        match (0..data.manifest().vocab_size).find(differs) {
            None => Ok(()),
            Some(id) => Err(ModelError::Tokenizer {
                id,
                theirs: theirs.token_text(id),
                ours: ours.token_text(id),
                dataset: data.name().to_owned(),
                dir: dir.clone(),
            }),
        }
    }
}

fn fetch(job: &TrainerJob, uri: &str, hub: &HubAccess) -> Result<PathBuf, ModelError> {
    let cache_dir = job.cache_dir.clone().unwrap_or_else(|| job.output_dir.join(DOWNLOADS));
    let options = bedplate_hub::Options { cache_dir, endpoint: hub.endpoint.clone(), token: hub.token.clone() };
    bedplate_hub::resolve(uri, &options).map_err(ModelError::Fetch)
}

fn config_of(shape: &ModelShape, data: &Dataset) -> ModelConfig {
    let ModelShape {
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        rope_theta,
        rms_norm_eps,
        max_position_embeddings,
        tie_word_embeddings,
        vocab_size,
        initializer_range,
    } = shape;
    let manifest = data.manifest();
    let heads = *num_attention_heads;
    ModelConfig {
        hidden_size: *hidden_size as usize,
        intermediate_size: *intermediate_size as usize,
        num_hidden_layers: *num_hidden_layers as usize,
        num_attention_heads: heads as usize,
        num_key_value_heads: num_key_value_heads.unwrap_or(heads) as usize,
        head_dim: head_dim.unwrap_or(hidden_size / heads.max(1)) as usize,
        rope_theta: *rope_theta,
        rms_norm_eps: *rms_norm_eps,
        max_position_embeddings: max_position_embeddings.unwrap_or(manifest.sequence_length) as usize,
        tie_word_embeddings: *tie_word_embeddings,
        vocab_size: vocab_size.unwrap_or(manifest.vocab_size) as usize,
        initializer_range: *initializer_range,
        eos_token_id: Some(TokenIds::One(manifest.end_of_text_id)),
        ..ModelConfig::default()
    }
}
