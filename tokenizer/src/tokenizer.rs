//! One tokenizer, whatever file it came from.
//!
//! Owns encoding, decoding, the table of token bytes and the tokens that belong around a text. Never decides whether a
//! text is a prompt of its own: callers choose between `encode` and `encode_with_special`.

mod affixes;
mod bound;
mod bytes;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    chat::{ChatTemplate, ChatTemplateError},
    stream::DecodeStream,
    templates::Templates,
};
pub(crate) use affixes::Affixes;
use bytes::TokenBytes;
#[cfg(test)]
pub(crate) use bytes::letters as bytes_alphabet_for_tests;

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
}

/// Special tokens and templates that come with a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub bos_token_id: Option<u32>,
    pub eos_token_ids: Vec<u32>,
    pub affixes: Affixes,
    pub templates: Templates,
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

    pub(crate) fn new(mut inner: tokenizers::Tokenizer, mut extras: Extras) -> Self {
        // Truncation and padding are the business of whoever builds batches.
        inner.with_padding(None);
        let _ = inner.with_truncation(None);
        let bytes = TokenBytes::of(&inner);
        if extras.affixes.is_empty() {
            extras.affixes = Affixes::of(&inner);
        }
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

    /// Token ids of `text` as a text of its own, with the tokens in front and behind that the reference adds
    /// (`add_special_tokens=True` of Hugging Face's `encode`, `add_special` of llama.cpp). `parse_special` as for `encode`.
    pub fn encode_with_special(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.prefix().to_vec();
        ids.extend(self.encode(text, parse_special)?);
        ids.extend(self.suffix());
        Ok(ids)
    }

    /// The tokens of a document that is trained on: those of its text, those that belong around it, and `end_of_text`
    /// unless it ends with it already.
    pub fn document(&self, tokens: Vec<u32>, end_of_text: u32) -> Vec<u32> {
        let mut document = match (self.prefix(), self.suffix()) {
            ([], []) => tokens,
            (prefix, suffix) => [prefix, &tokens, suffix].concat(),
        };
        if document.last() != Some(&end_of_text) {
            document.push(end_of_text);
        }
        document
    }

    /// Tokens in front of every text of its own, usually none or the one that begins a text.
    pub fn prefix(&self) -> &[u32] {
        &self.extras.affixes.prefix
    }

    /// Tokens behind every text of its own, usually none.
    pub fn suffix(&self) -> &[u32] {
        &self.extras.affixes.suffix
    }

    /// Text of `ids`; bytes that are no UTF-8 become U+FFFD. Unknown ids are left out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        Self::drain(self.decode_stream(skip_special), ids)
    }

    /// What `ids` add to the text of `context`: the space that a SentencePiece model puts in front of their first word
    /// stays. See [`DecodeStream::after`].
    pub fn decode_after(&self, context: &[u32], ids: &[u32], skip_special: bool) -> String {
        Self::drain(DecodeStream::after(self, context, skip_special), ids)
    }

    fn drain(mut stream: DecodeStream<&Self>, ids: &[u32]) -> String {
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

    /// Bytes that token `id` stands for behind other text. Empty where the id is not in the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// Number of bytes of text that token `id` stands for; 0 for special tokens, which stand for no text.
    pub fn token_byte_len(&self, id: u32) -> usize {
        if self.is_special(id) { 0 } else { self.token_bytes(id).len() }
    }

    /// Each token that ends a generation, and how it is written.
    pub fn end_tokens(&self) -> impl Iterator<Item = (u32, String)> {
        self.eos_token_ids().iter().map(|&id| (id, self.token_text(id).unwrap_or_default()))
    }

    /// Takes these tokens and the one that the chat template ends a turn with as the ends of a generation.
    pub(crate) fn set_ends(&mut self, mut ids: Vec<u32>) {
        if ids.is_empty() {
            ids.extend(&self.extras.eos_token_ids);
        }
        ids.extend(self.end_of_turn());
        let mut seen = std::collections::BTreeSet::new();
        ids.retain(|id| seen.insert(*id));
        self.extras.eos_token_ids = ids;
    }

    /// Whether `id` was added to the vocabulary, so that its text is found whole.
    pub(crate) fn is_added(&self, id: u32) -> bool {
        self.bytes.is_added(id)
    }

    /// Whether `id` is a special (control) token.
    pub fn is_special(&self, id: u32) -> bool {
        self.bytes.is_special(id)
    }

    /// Bytes that token `id` stands for as the first of a text: a space in front may be an artefact of the vocabulary.
    pub(crate) fn first_bytes(&self, id: u32) -> Cow<'_, [u8]> {
        let alone = self.token_text(id).and_then(|text| self.bytes.first(&text, self.parsing.get_decoder()));
        alone.map_or(Cow::Borrowed(self.token_bytes(id)), |text| Cow::Owned(text.into_bytes()))
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

    /// Tokens that end a generation, whatever says so: the files, the chat template or the spelling. The first is the one
    /// that ends a document.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.extras.eos_token_ids
    }

    /// Token that begins a text, if the vocabulary has one.
    pub fn bos_token_id(&self) -> Option<u32> {
        self.extras.bos_token_id
    }

    /// The chat template that a request gets: the model's, or the one that `asked` names or is the source of.
    ///
    /// # Errors
    /// When there is none or it does not compile, which says nothing against plain prompts.
    pub fn chat_template(&self, asked: Option<&str>) -> Result<Arc<ChatTemplate>, ChatTemplateError> {
        self.extras.templates.choose(asked)
    }

    /// The whole tokenizer as the bytes of a `tokenizer.json`.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        // Through a value, whose maps keep their order: the added tokens and the vocabulary are already sorted by id.
        self.parsing.to_string(false).map_err(|error| TokenizerError::Encode(error.to_string()))
    }
}
