//! A local file or folder into a model and its tokenizer.
//!
//! Owns the choice between safetensors folders and GGUF files, and the check that both halves belong together.

use std::path::{Path, PathBuf};

use bedplate_crds::model_deployment::ServingDtype;
use bedplate_engine::{
    gguf::{GgufError, GgufFile, Vocabulary},
    hf_folder::{ModelFolder, ModelFolderError},
    serving::{ServingError, ServingModel},
};
use bedplate_tokenizer::{GgufVocab, Tokenizer, TokenizerError};

use crate::defaults::{DefaultsError, SamplingDefaults};

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is neither a folder nor a GGUF file.
    #[error("the model {path} is neither a folder nor a .gguf file; check model.uri", path = path.display())]
    Kind {
        /// What the uri led to.
        path: PathBuf,
    },
    /// The GGUF file cannot be read.
    #[error("could not read the model {path}", path = path.display())]
    ReadGguf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GgufError,
    },
    /// The model folder cannot be read.
    #[error("could not read the model folder {path}", path = path.display())]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Box<ModelFolderError>,
    },
    /// The weights make no model that the engine can compute.
    #[error("could not load the weights of {path}", path = path.display())]
    LoadWeights {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: Box<ServingError>,
    },
    /// The tokenizer cannot be used.
    #[error("could not load the tokenizer of {path}", path = path.display())]
    LoadTokenizer {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: TokenizerError,
    },
    /// The model's own settings for sampling cannot be followed.
    #[error("could not follow the settings in {path}; correct the file, or remove it", path = path.display())]
    ReadDefaults {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: DefaultsError,
    },
    /// A number format that the file cannot be turned into.
    #[error("engine.dtype float32 is not available for GGUF files, which are served in the format they have; use auto")]
    Dtype,
}

impl LoadError {
    /// Whether the file's bytes are damaged, rather than of a kind that is not supported.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::ReadGguf { source, .. } => source.is_corruption(),
            Self::ReadFolder { source, .. } => source.is_corruption(),
            Self::LoadWeights { source, .. } => source.is_corruption(),
            Self::Kind { .. } | Self::LoadTokenizer { .. } | Self::ReadDefaults { .. } | Self::Dtype => false,
        }
    }
}

/// A model and the tokenizer it was trained with.
#[derive(Debug)]
pub struct LoadedModel {
    /// The weights.
    pub model: ServingModel,
    /// The vocabulary and chat template.
    pub tokenizer: Tokenizer,
    /// How it wants to be sampled.
    pub defaults: SamplingDefaults,
}

/// Loads the safetensors folder or GGUF file at `path`.
///
/// # Errors
/// When it is damaged, of a kind that is not supported, or its halves do not fit.
pub fn load(path: &Path, dtype: ServingDtype) -> Result<LoadedModel, LoadError> {
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let loaded = match (path.is_dir(), is_gguf) {
        (true, _) => load_folder(path, dtype)?,
        (false, true) => load_gguf(path, dtype)?,
        (false, false) => return Err(LoadError::Kind { path: path.to_owned() }),
    };
    loaded.model.notes().iter().for_each(|note| tracing::warn!("{}: {note}", path.display()));
    let (tokens, vocab_size) = (loaded.tokenizer.vocab_size(), loaded.model.config().vocab_size);
    if tokens > vocab_size {
        // The state of many fine-tunes: a padding token was added, and the embedding left as it was.
        tracing::warn!(
            "the tokenizer has {tokens} entries, but the model only {vocab_size}; a request with a token beyond is refused"
        );
    }
    Ok(loaded)
}

fn load_folder(path: &Path, dtype: ServingDtype) -> Result<LoadedModel, LoadError> {
    let to_owned = || path.to_owned();
    // The tokenizer first: it is the smaller half, and its errors come at once.
    let tokenizer =
        Tokenizer::from_folder(path).map_err(|source| LoadError::LoadTokenizer { path: to_owned(), source })?;
    let defaults =
        SamplingDefaults::read(path).map_err(|source| LoadError::ReadDefaults { path: to_owned(), source })?;
    let mut folder = ModelFolder::open(path)
        .map_err(|source| LoadError::ReadFolder { path: to_owned(), source: Box::new(source) })?;
    let model = ServingModel::from_folder(&mut folder, dtype == ServingDtype::Float32)
        .map_err(|source| LoadError::LoadWeights { path: to_owned(), source: Box::new(source) })?;
    Ok(LoadedModel { model, tokenizer, defaults })
}

fn load_gguf(path: &Path, dtype: ServingDtype) -> Result<LoadedModel, LoadError> {
    if dtype == ServingDtype::Float32 {
        return Err(LoadError::Dtype);
    }
    let read_error = |source| LoadError::ReadGguf { path: path.to_owned(), source };
    let file = GgufFile::open(path).map_err(read_error)?;
    let weights_error = |source| LoadError::LoadWeights { path: path.to_owned(), source: Box::new(source) };
    // What cannot be served is told before gigabytes are packed: first the kind of model, then the tokenizer.
    ServingModel::check_gguf(&file).map_err(weights_error)?;
    let vocabulary = file.vocabulary().map_err(read_error)?;
    vocabulary.notes.iter().for_each(|note| tracing::warn!("{}: {note}", path.display()));
    let tokenizer = Tokenizer::from_gguf(vocab_of(vocabulary))
        .map_err(|source| LoadError::LoadTokenizer { path: path.to_owned(), source })?;
    let model = ServingModel::from_gguf(&file).map_err(weights_error)?;
    Ok(LoadedModel { model, tokenizer, defaults: SamplingDefaults::default() })
}

fn vocab_of(vocabulary: Vocabulary) -> GgufVocab {
    // Scores belong to SentencePiece, which the tokenizer refuses; nothing is ever padded here.
    let Vocabulary {
        model,
        pre,
        tokens,
        token_types,
        scores: _,
        merges,
        bos_token_id,
        eos_token_id,
        // A byte-level vocabulary writes every text, so that nothing is unknown.
        unknown_token_id: _,
        padding_token_id: _,
        end_token_ids,
        add_bos,
        add_eos,
        chat_template,
        notes: _,
    } = vocabulary;
    GgufVocab {
        model,
        pre,
        tokens,
        token_types,
        merges,
        bos_token_id,
        eos_token_id,
        end_token_ids,
        add_bos,
        add_eos,
        chat_template,
    }
}
