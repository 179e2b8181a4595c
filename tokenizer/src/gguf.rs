//! Builds a tokenizer from the vocabulary in a GGUF file.
//!
//! Owns llama.cpp's meaning of `tokenizer.ggml.*` for byte-level BPE. Never reads the file: the engine hands the arrays in.

mod splits;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tokenizers::{AddedToken, decoders::byte_level::ByteLevel as ByteLevelDecoder, models::bpe::BPE};

use crate::{
    ends::{self, spelled},
    templates::{DEFAULT, Templates},
    tokenizer::{Affixes, Extras, Tokenizer, TokenizerError},
};

/// `tokenizer.ggml.token_type` of the token for what is unknown; its text is not parsed in a plain prompt either.
const TOKEN_TYPE_UNKNOWN: i32 = 2;
/// `tokenizer.ggml.token_type` of a control token.
const TOKEN_TYPE_CONTROL: i32 = 3;
/// `tokenizer.ggml.token_type` of a token that is matched whole before the text is split.
const TOKEN_TYPE_USER_DEFINED: i32 = 4;
/// BOS and EOS of a `gpt2` vocabulary in a file that does not name them (`special_bos_id` in llama.cpp).
const DEFAULT_BOS_AND_EOS: u32 = 11;

/// What a GGUF file says about its tokenizer.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`; `gpt2` is understood.
    pub model: String,
    /// `tokenizer.ggml.pre`, one of llama.cpp's names; empty or `default` where the file has none.
    pub pre: String,
    /// How each token is written, by id.
    pub tokens: Vec<String>,
    /// llama.cpp's type of each token; empty takes every token for a normal one.
    pub token_types: Vec<i32>,
    /// Merges in order, two tokens with a space between.
    pub merges: Vec<String>,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Token that ends a text.
    pub eos_token_id: Option<u32>,
    /// Further tokens that end a generation: of a turn (`eot`), of a message (`eom`), of a file (`fim_pad`, `fim_rep`,
    /// `fim_sep`).
    pub end_token_ids: Vec<u32>,
    /// Whether a plain prompt begins with `bos_token_id`.
    pub add_bos: bool,
    /// Whether a plain prompt ends with `eos_token_id`.
    pub add_eos: bool,
    /// Jinja source of the chat template.
    pub chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    ///
    /// # Errors
    /// When the vocabulary is of a kind that is not supported, or contradicts itself.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        check(&vocab)?;
        let splits = splits::named(&vocab.pre)?;
        let mut inner = tokenizers::Tokenizer::new(model(&vocab, splits.ignore_merges)?);
        inner.with_pre_tokenizer(Some(splits.splitter));
        inner.with_decoder(Some(ByteLevelDecoder::new(false, false, false)));
        add_tokens(&mut inner, &vocab);

        let by_default =
            |id: Option<u32>| id.or((vocab.tokens.len() > DEFAULT_BOS_AND_EOS as usize).then_some(DEFAULT_BOS_AND_EOS));
        let (bos, eos) = (by_default(vocab.bos_token_id), by_default(vocab.eos_token_id));
        let text_of = |id: Option<u32>| id.map(|id| vocab.tokens[id as usize].clone());
        let special_tokens = [("bos_token", bos), ("eos_token", eos)];
        let special_tokens =
            special_tokens.into_iter().filter_map(|(name, id)| Some((name.to_owned(), text_of(id)?))).collect();
        let sources = vocab.chat_template.iter().map(|source| (DEFAULT.to_owned(), source.clone())).collect();
        let mut ends: Vec<u32> = eos.into_iter().chain(vocab.end_token_ids.iter().copied()).collect();
        ends.extend(spelled(|text| inner.token_to_id(text)));
        let affixes = Affixes {
            prefix: bos.filter(|_| vocab.add_bos).into_iter().collect(),
            suffix: eos.filter(|_| vocab.add_eos).into_iter().collect(),
        };
        let templates = Templates::new(sources, special_tokens);
        let mut tokenizer = Self::new(inner, Extras { bos_token_id: bos, affixes, templates, ..Extras::default() });
        tokenizer.set_ends(ends);
        Ok(tokenizer)
    }
}

/// Makes the tokens known that are found whole in a text. What is spelled as a control token is one, whatever its type
/// says, as for llama.cpp.
fn add_tokens(inner: &mut tokenizers::Tokenizer, vocab: &GgufVocab) {
    let (mut control, mut defined) = (Vec::new(), Vec::new());
    let types = vocab.token_types.iter().copied().chain(std::iter::repeat(0));
    for (text, kind) in vocab.tokens.iter().zip(types) {
        match kind {
            _ if ends::is_shown(text) => defined.push(AddedToken::from(text, false).normalized(false)),
            TOKEN_TYPE_CONTROL | TOKEN_TYPE_UNKNOWN => control.push(AddedToken::from(text, true)),
            _ if ends::is_spelled_as_control(text) => control.push(AddedToken::from(text, true)),
            TOKEN_TYPE_USER_DEFINED => defined.push(AddedToken::from(text, false).normalized(false)),
            _ => {}
        }
    }
    inner.add_special_tokens(&control);
    inner.add_tokens(&defined);
}

fn check(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    let fail = |reason: String| Err(TokenizerError::Gguf(reason));
    if vocab.model != "gpt2" {
        return fail(format!(
            "tokenizer.ggml.model is `{}`; `gpt2` (byte-level BPE) is supported; use the model's safetensors folder",
            vocab.model
        ));
    }
    if vocab.tokens.is_empty() {
        return fail("tokenizer.ggml.tokens is empty".to_owned());
    }
    if !vocab.token_types.is_empty() && vocab.token_types.len() != vocab.tokens.len() {
        return fail(format!("{} tokens, but {} token types", vocab.tokens.len(), vocab.token_types.len()));
    }
    let ids = vocab.bos_token_id.into_iter().chain(vocab.eos_token_id).chain(vocab.end_token_ids.iter().copied());
    if let Some(id) = ids.into_iter().find(|id| *id as usize >= vocab.tokens.len()) {
        return fail(format!("the special token {id} lies outside the {} tokens", vocab.tokens.len()));
    }
    Ok(())
}

fn model(vocab: &GgufVocab, ignore_merges: bool) -> Result<BPE, TokenizerError> {
    let ids: HashMap<String, u32> = vocab.tokens.iter().cloned().zip(0..).collect();
    if ids.len() != vocab.tokens.len() {
        return Err(TokenizerError::Gguf("tokenizer.ggml.tokens names a token twice".to_owned()));
    }
    let merges = vocab
        .merges
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) if ids.contains_key(left) && ids.contains_key(right) => {
                Ok((left.to_owned(), right.to_owned()))
            }
            _ => Err(TokenizerError::Gguf(format!("the merge `{merge}` does not name two tokens"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
        .ignore_merges(ignore_merges)
        .build()
        .map_err(|error| TokenizerError::Gguf(error.to_string()))
}
