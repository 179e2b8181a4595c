//! One tokenizer, whatever file it came from.
//!
//! Owns encoding, decoding and the table of token bytes. Never decides where a beginning-of-text token belongs: callers
//! ask `add_bos`.

mod bound;
mod bytes;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::{chat::ChatTemplate, stream::DecodeStream};
use bytes::TokenBytes;

/// Why a tokenizer could not be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file of the tokenizer is missing or unreadable.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is there, but is not what its name says.
    #[error("{path} is not a valid tokenizer file: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The vocabulary in a GGUF file cannot be used.
    #[error("the tokenizer in the GGUF file cannot be used: {0}")]
    Gguf(String),
    /// Training was asked for something impossible or failed.
    #[error("cannot train the tokenizer: {0}")]
    Train(String),
    /// The text could not be split into tokens.
    #[error("cannot tokenise the text: {0}")]
    Encode(String),
    /// The chat template does not compile.
    #[error("the chat template is invalid")]
    Template(#[source] crate::chat::ChatTemplateError),
}

/// Special tokens and templates that come with a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub bos_token_id: Option<u32>,
    pub eos_token_ids: Vec<u32>,
    pub add_bos: bool,
    pub chat_template: Option<ChatTemplate>,
}

/// A vocabulary with its splitting rules, special tokens and chat template. Immutable, so threads share it.
#[derive(Debug)]
pub struct Tokenizer {
    /// Recognises special tokens in the text.
    parsing: tokenizers::Tokenizer,
    /// Treats the text of special tokens as ordinary text.
    plain: tokenizers::Tokenizer,
    bytes: TokenBytes,
    extras: Extras,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`. Special token ids and chat template stay unknown; `from_folder` finds them.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let content = std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        let inner = tokenizers::Tokenizer::from_bytes(&content)
            .map_err(|error| TokenizerError::Parse { path: path.to_owned(), reason: error.to_string() })?;
        let mut tokenizer = Self::new(inner, Extras::default());
        tokenizer.extras.eos_token_ids.extend(tokenizer.token_id(crate::train::END_OF_TEXT));
        Ok(tokenizer)
    }

    pub(crate) fn new(mut inner: tokenizers::Tokenizer, extras: Extras) -> Self {
        // Truncation and padding are the business of whoever builds batches.
        inner.with_padding(None);
        let _ = inner.with_truncation(None);
        let bytes = TokenBytes::of(&inner);
        let mut plain = inner.clone();
        plain.set_encode_special_tokens(true);
        Self { parsing: inner, plain, bytes, extras }
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        &mut self.extras
    }

    /// Token ids of `text`, without any token put in front or behind.
    /// With `parse_special`, the text of a special token becomes that token; without, it is ordinary text.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let inner = if parse_special { &self.parsing } else { &self.plain };
        let encoding = inner.encode_fast(text, false).map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`; bytes that are no UTF-8 become U+FFFD. Unknown ids are left out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut stream = self.decode_stream(skip_special);
        let mut text = String::new();
        for &id in ids {
            text.extend(stream.push(id));
        }
        text.extend(stream.finish());
        text
    }

    /// A detokeniser for tokens that arrive one by one.
    pub fn decode_stream(&self, skip_special: bool) -> DecodeStream<&Self> {
        DecodeStream::new(self, skip_special)
    }

    /// Bytes that token `id` stands for. Empty where the id is not in the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// Number of bytes of text that token `id` stands for; 0 for special tokens, which stand for no text.
    pub fn token_byte_len(&self, id: u32) -> usize {
        if self.is_special(id) { 0 } else { self.token_bytes(id).len() }
    }

    /// Whether `id` is a special (control) token.
    pub fn is_special(&self, id: u32) -> bool {
        self.bytes.is_special(id)
    }

    /// Whether a leading space of the whole text is an artefact of the vocabulary (SentencePiece's dummy prefix).
    pub(crate) fn strips_leading_space(&self) -> bool {
        self.bytes.strips_leading_space()
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The id of the token that is written `text`.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.parsing.token_to_id(text)
    }

    /// How the token `id` is written in the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.parsing.id_to_token(id)
    }

    /// Tokens that end a generation.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.extras.eos_token_ids
    }

    /// Token that begins a text, if the vocabulary has one.
    pub fn bos_token_id(&self) -> Option<u32> {
        self.extras.bos_token_id
    }

    /// Whether the model expects `bos_token_id` in front of a plain prompt (a chat template writes its own).
    pub fn add_bos(&self) -> bool {
        self.extras.add_bos
    }

    /// The chat template, if the model has one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.extras.chat_template.as_ref()
    }

    /// The whole tokenizer as the bytes of a `tokenizer.json`.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        // Through a value, whose maps keep their order: the added tokens and the vocabulary are already sorted by id.
        self.parsing.to_string(false).map_err(|error| TokenizerError::Encode(error.to_string()))
    }
}
