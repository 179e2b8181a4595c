//! Why a file or folder cannot be served.

use crate::config::ConfigError;
use crate::gguf::GgufError;
use crate::hf_folder::ModelFolderError;
use crate::quant::PackError;

/// What was attempted when a model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServingError {
    /// The file holds another kind of model.
    #[error("general.architecture is {found:?}, which is not supported; use a model of the architecture \"llama\"")]
    Architecture {
        /// What the file says.
        found: String,
    },
    /// The model has a feature that this engine does not compute.
    #[error("{what} is not supported; {remedy}")]
    Unsupported {
        /// The metadata key or tensor, and its value.
        what: String,
        /// What to use instead.
        remedy: &'static str,
    },
    /// A metadata value contradicts another one or a tensor.
    #[error("{key} {problem}; the file is damaged or was converted wrongly, convert it again")]
    Contradiction {
        /// Metadata key or tensor name.
        key: String,
        /// What it contradicts.
        problem: String,
    },
    /// A tensor has another shape than the config asks for.
    #[error("tensor {name} has shape {found:?} where the model's config asks for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Rows and columns the model needs.
        expected: Vec<usize>,
        /// Rows and columns there are.
        found: Vec<usize>,
    },
    /// A tensor's bytes do not make a weight matrix.
    #[error("cannot use tensor {name} as a weight matrix")]
    Pack {
        /// The tensor.
        name: String,
        /// Why.
        source: PackError,
    },
    /// There is no memory for the weights.
    #[error("cannot allocate memory for the weights; use a smaller model or a machine with more memory")]
    Allocate {
        /// Why.
        source: std::io::Error,
    },
    /// The shape cannot be computed with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The GGUF file is damaged or lacks something.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The model folder is damaged or lacks something.
    #[error(transparent)]
    Folder(#[from] ModelFolderError),
}

impl ServingError {
    /// Whether a file's bytes are damaged, rather than of a kind that is not supported.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Gguf(error) => error.is_corruption(),
            Self::Folder(error) => error.is_corruption(),
            Self::Contradiction { .. } => true,
            _ => false,
        }
    }
}
