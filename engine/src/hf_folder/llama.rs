//! The LLaMA-style decoder in a model folder: its config, and which of the folder's tensors belong to it.
//!
//! Owns where config and weights disagree: what the files hold wins where transformers lets it win, and a tensor that would
//! change the arithmetic without being computed is refused. Reads no weights but a head that may be the embedding.

#[cfg(test)]
mod tests;

use super::{ModelFolder, ModelFolderError};
use crate::{config::ModelConfig, layout::ParamLayout};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// What old converters stored beside the weights; it follows from the config.
const ROTARY_TABLE: &str = "self_attn.rotary_emb.inv_freq";

/// A config that fits the folder's tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderConfig {
    /// Shape of the model.
    pub config: ModelConfig,
    /// What was not taken as config.json has it, for a log.
    pub notes: Vec<String>,
}

impl ModelFolder {
    /// Reads `config.json` as the shape of a LLaMA-style decoder, and checks that the tensors are those of one.
    ///
    /// A head in the files that differs from the embedding counts although the config calls them tied, as in transformers.
    pub fn model_config(&mut self) -> Result<FolderConfig, ModelFolderError> {
        let dir = self.dir.clone();
        let problem = |problem: String| ModelFolderError::Config { dir: dir.clone(), problem };
        let config = serde_json::from_value(self.config().clone());
        let mut config: ModelConfig = config.map_err(|error| problem(error.to_string()))?;
        config.validate().map_err(|error| problem(error.to_string()))?;
        let mut notes = Vec::new();
        if config.tie_word_embeddings && self.has_head_of_its_own(&config)? {
            config.tie_word_embeddings = false;
            notes.push(format!(
                "{HEAD} differs from {EMBEDDING} although config.json says tie_word_embeddings; it is used as it is"
            ));
        }
        if !config.tie_word_embeddings && !self.contains(HEAD) {
            return Err(problem(format!(
                "there is no {HEAD}; write \"tie_word_embeddings\": true if the output matrix is the embedding"
            )));
        }
        self.refuse_uncomputed(&config)?;
        Ok(FolderConfig { config, notes })
    }

    fn has_head_of_its_own(&mut self, config: &ModelConfig) -> Result<bool, ModelFolderError> {
        if !self.contains(HEAD) {
            return Ok(false);
        }
        Ok(!self.same_content(EMBEDDING, HEAD, &[config.vocab_size, config.hidden_size])?)
    }

    /// A bias or a norm that no operation reads would change every answer. Layers beyond the config's depth, and other
    /// models' parts, are passed over, as in transformers.
    fn refuse_uncomputed(&self, config: &ModelConfig) -> Result<(), ModelFolderError> {
        let layout = ParamLayout::new(config);
        let named = |name: &str| name == HEAD || layout.find(name).is_some() || name.ends_with(ROTARY_TABLE);
        let stems = ["model.embed_tokens.", "model.norm.", "lm_head."].map(str::to_owned).into_iter();
        let stems: Vec<String> =
            stems.chain((0..config.num_hidden_layers).map(|layer| format!("model.layers.{layer}."))).collect();
        let inside = |name: &str| stems.iter().any(|stem| name.starts_with(stem));
        match self.tensor_names().find(|name| inside(name) && !named(name)) {
            Some(name) => Err(ModelFolderError::Uncomputed { dir: self.dir.clone(), name: name.to_owned() }),
            None => Ok(()),
        }
    }
}
