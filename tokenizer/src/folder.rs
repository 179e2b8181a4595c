//! Loads the tokenizer of a Hugging Face folder.
//!
//! Owns the meaning of `tokenizer_config.json` and its neighbours. Never downloads anything.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{
    chat::SpecialTokens,
    templates::{DEFAULT, Templates},
    tokenizer::{Affixes, Tokenizer, TokenizerError},
};

/// Every file of a tokenizer but for the folder of named templates. Only the first must be there.
pub const FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];
/// Folder of named templates, `NAME.jinja` each.
pub const TEMPLATES_FOLDER: &str = "additional_chat_templates";

impl Tokenizer {
    /// Loads `tokenizer.json` of a folder, with the special tokens and chat templates that `tokenizer_config.json`,
    /// `special_tokens_map.json`, `chat_template.jinja`, `additional_chat_templates`, `generation_config.json` and
    /// `config.json` name. Only `tokenizer.json` must be there.
    ///
    /// # Errors
    /// When a file is there, but cannot be read or is no JSON. A chat template that does not compile is no error here.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let folder = folder.as_ref();
        let mut tokenizer = Self::from_file(folder.join("tokenizer.json"))?;
        let mut config = read_object(&folder.join("tokenizer_config.json"))?;
        // transformers reads the older file only beside a config of its time.
        if !config.contains_key("added_tokens_decoder") {
            config.extend(read_object(&folder.join("special_tokens_map.json"))?);
        }
        let special_tokens = special_tokens(&config);
        let id_of = |name: &str| special_tokens.get(name).and_then(|text| tokenizer.token_id(text));
        let (bos, eos) = (id_of("bos_token"), id_of("eos_token"));
        let mut eos_token_ids: Vec<u32> = eos.into_iter().collect();
        eos_token_ids.extend(configured_ends(folder)?);

        let wants_bos = config.get("add_bos_token").and_then(Value::as_bool).unwrap_or(false);
        let templates = Templates::new(template_sources(folder, &config)?, special_tokens);
        let extras = tokenizer.extras_mut();
        // As in transformers 5 the post-processor decides. Where it adds nothing, a config that asks for BOS is believed,
        // as it was in transformers 4 and is in llama.cpp's converter.
        if let (true, true, Some(bos)) = (wants_bos, extras.affixes.prefix.is_empty(), bos) {
            extras.affixes = Affixes { prefix: vec![bos], ..std::mem::take(&mut extras.affixes) };
        }
        extras.bos_token_id = bos;
        extras.templates = templates;
        tokenizer.set_ends(eos_token_ids);
        Ok(tokenizer)
    }
}

/// Ids that end a generation: `generation_config.json` wins over `config.json`, as in transformers.
fn configured_ends(folder: &Path) -> Result<Vec<u32>, TokenizerError> {
    for file in ["generation_config.json", "config.json"] {
        let ids = ids(read_object(&folder.join(file))?.get("eos_token_id").unwrap_or(&Value::Null));
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    Ok(Vec::new())
}

/// The file's fields; none where there is no such file.
fn read_object(path: &Path) -> Result<Map<String, Value>, TokenizerError> {
    let Some(content) = read(path)? else { return Ok(Map::new()) };
    serde_json::from_str(&content)
        .map_err(|error| TokenizerError::Parse { path: path.to_owned(), reason: error.to_string() })
}

/// The file's text without a byte order mark; none where there is no such file.
fn read(path: &Path) -> Result<Option<String>, TokenizerError> {
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(Some(content.trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path: path.to_owned(), source }),
    }
}

/// Texts of the special tokens by name; each is written as its text or as an object with `content`.
fn special_tokens(config: &Map<String, Value>) -> SpecialTokens {
    let tokens = config.iter().filter(|(name, _)| name.ends_with("_token"));
    let text = |value: &Value| value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned);
    tokens.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// Token ids of a number or a list; -1 and its like name no token.
fn ids(value: &Value) -> Vec<u32> {
    let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    let whole = |value: &Value| value.as_u64().or_else(|| value.as_f64().filter(|id| *id >= 0.0).map(|id| id as u64));
    values.iter().filter_map(|id| u32::try_from(whole(id)?).ok()).collect()
}

/// Sources of the chat templates by name. Files of their own win over what the config holds: one string, a list of
/// named ones or an object of them.
fn template_sources(folder: &Path, config: &Map<String, Value>) -> Result<BTreeMap<String, String>, TokenizerError> {
    let mut sources = BTreeMap::new();
    if let Some(source) = read(&folder.join("chat_template.jinja"))? {
        sources.insert(DEFAULT.to_owned(), source);
    }
    for path in named_templates(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        sources.extend(read(&path)?.map(|source| (name, source)));
    }
    if !sources.is_empty() {
        return Ok(sources);
    }
    let named = |name: &Value, source: &Value| Some((name.as_str()?.to_owned(), source.as_str()?.to_owned()));
    Ok(match config.get("chat_template") {
        Some(Value::String(source)) => BTreeMap::from([(DEFAULT.to_owned(), source.clone())]),
        Some(Value::Array(list)) => list.iter().filter_map(|entry| named(&entry["name"], &entry["template"])).collect(),
        Some(Value::Object(list)) => {
            list.iter().filter_map(|(name, source)| named(&Value::from(name.as_str()), source)).collect()
        }
        _ => sources,
    })
}

/// Paths of `additional_chat_templates/NAME.jinja`.
fn named_templates(folder: &Path) -> Result<Vec<PathBuf>, TokenizerError> {
    let folder = folder.join(TEMPLATES_FOLDER);
    let fail = |source| TokenizerError::Read { path: folder.clone(), source };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(fail(source)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jinja")).collect())
}
