//! Builds a tokenizer from the vocabulary in a GGUF file.
//!
//! Owns llama.cpp's meaning of `tokenizer.ggml.*` for byte-level BPE. Never reads the file: the engine hands the arrays in.

use std::collections::HashMap;

use tokenizers::{
    AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior,
    decoders::byte_level::ByteLevel as ByteLevelDecoder,
    models::bpe::BPE,
    pre_tokenizers::{
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use crate::{
    ends::spelled,
    templates::{DEFAULT, Templates},
    tokenizer::{Affixes, Extras, Tokenizer, TokenizerError},
};

/// `tokenizer.ggml.token_type` of a control token.
const TOKEN_TYPE_CONTROL: i32 = 3;
/// `tokenizer.ggml.token_type` of a token that is matched whole before the text is split.
const TOKEN_TYPE_USER_DEFINED: i32 = 4;

/// Splits of Llama 3, digits in groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Splits of Qwen 2: Llama 3's with single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a GGUF file says about its tokenizer.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`; `gpt2` is understood.
    pub model: String,
    /// `tokenizer.ggml.pre`: `smollm`, `gpt-2`, `llama-bpe` or `qwen2`.
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
    /// Token for text outside the vocabulary; byte-level vocabularies never need it.
    pub unknown_token_id: Option<u32>,
    /// Whether a plain prompt begins with `bos_token_id`.
    pub add_bos: bool,
    /// Jinja source of the chat template.
    pub chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        check(&vocab)?;
        let splitter = pre_tokenizer(&vocab.pre)?;
        let mut inner = tokenizers::Tokenizer::new(model(&vocab)?);
        inner.with_pre_tokenizer(Some(splitter));
        inner.with_decoder(Some(ByteLevelDecoder::new(false, false, false)));
        let typed = |wanted: i32| {
            let pairs = vocab.tokens.iter().zip(&vocab.token_types);
            pairs.filter(move |(_, kind)| **kind == wanted).map(|(text, _)| text)
        };
        let control: Vec<_> = typed(TOKEN_TYPE_CONTROL).map(|text| AddedToken::from(text, true)).collect();
        let defined: Vec<_> =
            typed(TOKEN_TYPE_USER_DEFINED).map(|text| AddedToken::from(text, false).normalized(false)).collect();
        inner.add_special_tokens(&control);
        inner.add_tokens(&defined);

        let text_of = |id: Option<u32>| id.map(|id| vocab.tokens[id as usize].clone());
        let special_tokens = [("bos_token", vocab.bos_token_id), ("eos_token", vocab.eos_token_id)];
        let special_tokens =
            special_tokens.into_iter().filter_map(|(name, id)| Some((name.to_owned(), text_of(id)?))).collect();
        let sources = vocab.chat_template.iter().map(|source| (DEFAULT.to_owned(), source.clone())).collect();
        let mut ends: Vec<u32> = vocab.eos_token_id.into_iter().collect();
        ends.extend(spelled(|text| inner.token_to_id(text)));
        let prefix = vocab.bos_token_id.filter(|_| vocab.add_bos).into_iter().collect();
        let extras = Extras {
            bos_token_id: vocab.bos_token_id,
            affixes: Affixes { prefix, suffix: Vec::new() },
            templates: Templates::new(sources, special_tokens),
            ..Extras::default()
        };
        let mut tokenizer = Self::new(inner, extras);
        tokenizer.set_ends(ends);
        Ok(tokenizer)
    }
}

fn check(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    let fail = |reason: String| Err(TokenizerError::Gguf(reason));
    if vocab.model != "gpt2" {
        return fail(format!("tokenizer.ggml.model is `{}`; `gpt2` (byte-level BPE) is supported", vocab.model));
    }
    if vocab.tokens.is_empty() {
        return fail("tokenizer.ggml.tokens is empty".to_owned());
    }
    if !vocab.token_types.is_empty() && vocab.token_types.len() != vocab.tokens.len() {
        return fail(format!("{} tokens, but {} token types", vocab.tokens.len(), vocab.token_types.len()));
    }
    let ids = [("bos", vocab.bos_token_id), ("eos", vocab.eos_token_id), ("unknown", vocab.unknown_token_id)];
    for (name, id) in ids {
        if id.is_some_and(|id| id as usize >= vocab.tokens.len()) {
            return fail(format!("tokenizer.ggml.{name}_token_id lies outside the {} tokens", vocab.tokens.len()));
        }
    }
    Ok(())
}

fn model(vocab: &GgufVocab) -> Result<BPE, TokenizerError> {
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
        // Llama 3 takes a word that is a token as that token even where no merges lead to it.
        .ignore_merges(vocab.pre == "llama-bpe")
        .build()
        .map_err(|error| TokenizerError::Gguf(error.to_string()))
}

fn pre_tokenizer(name: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let gpt2 = || PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, true));
    let pattern = |regex: &str| {
        let split = Split::new(SplitPattern::Regex(regex.to_owned()), SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| TokenizerError::Gguf(error.to_string()))?;
        let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false));
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![PreTokenizerWrapper::Split(split), bytes])))
    };
    match name {
        "gpt-2" => Ok(gpt2()),
        "smollm" => {
            let digits = PreTokenizerWrapper::Digits(Digits::new(true));
            Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![digits, gpt2()])))
        }
        "llama-bpe" => pattern(LLAMA3),
        "qwen2" => pattern(QWEN2),
        other => Err(TokenizerError::Gguf(format!(
            "tokenizer.ggml.pre is `{other}`; supported are smollm, gpt-2, llama-bpe and qwen2"
        ))),
    }
}
