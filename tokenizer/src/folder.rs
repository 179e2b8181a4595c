//! Loads the tokenizer of a Hugging Face folder.
//!
//! Owns the meaning of `tokenizer_config.json` and its neighbours. Never downloads anything.

use std::path::Path;

use serde_json::Value;

use crate::{
    chat::ChatTemplate,
    tokenizer::{Tokenizer, TokenizerError},
};

impl Tokenizer {
    /// Loads `tokenizer.json` of a folder, with the special tokens and the chat template that `tokenizer_config.json`,
    /// `chat_template.jinja`, `generation_config.json` and `config.json` name. Only `tokenizer.json` must be there.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let folder = folder.as_ref();
        let mut tokenizer = Self::from_file(folder.join("tokenizer.json"))?;
        let config = read_json(&folder.join("tokenizer_config.json"))?;
        let bos = special_text(&config["bos_token"]);
        let eos = special_text(&config["eos_token"]);
        let source = chat_template_source(folder, &config)?;
        let chat_template = source
            .map(|source| ChatTemplate::new(&source, bos.as_deref(), eos.as_deref()))
            .transpose()
            .map_err(TokenizerError::Template)?;

        let mut eos_token_ids = Vec::new();
        eos_token_ids.extend(eos.and_then(|text| tokenizer.token_id(&text)));
        for file in ["generation_config.json", "config.json"] {
            eos_token_ids.extend(ids(&read_json(&folder.join(file))?["eos_token_id"]));
        }
        let bos_token_id = bos.and_then(|text| tokenizer.token_id(&text));
        let extras = tokenizer.extras_mut();
        if !eos_token_ids.is_empty() {
            let mut seen = std::collections::BTreeSet::new();
            eos_token_ids.retain(|id| seen.insert(*id));
            extras.eos_token_ids = eos_token_ids;
        }
        extras.bos_token_id = bos_token_id;
        extras.add_bos = config["add_bos_token"].as_bool().unwrap_or(false);
        extras.chat_template = chat_template;
        Ok(tokenizer)
    }
}

/// The file's JSON; null where there is no such file.
fn read_json(path: &Path) -> Result<Value, TokenizerError> {
    match std::fs::read(path) {
        Ok(content) => serde_json::from_slice(&content)
            .map_err(|error| TokenizerError::Parse { path: path.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(source) => Err(TokenizerError::Read { path: path.to_owned(), source }),
    }
}

/// A special token is written as its text or as an object with `content`.
fn special_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

fn ids(value: &Value) -> Vec<u32> {
    let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    values.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// The template's own file wins; inside the config it is one string, or a list of named ones.
fn chat_template_source(folder: &Path, config: &Value) -> Result<Option<String>, TokenizerError> {
    let path = folder.join("chat_template.jinja");
    match std::fs::read_to_string(&path) {
        Ok(source) => return Ok(Some(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(TokenizerError::Read { path, source }),
    }
    Ok(match &config["chat_template"] {
        Value::String(source) => Some(source.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default");
            default.and_then(|entry| entry["template"].as_str()).map(str::to_owned)
        }
        _ => None,
    })
}
