//! Trains a byte-level BPE.
//!
//! Owns the recipe (GPT-2's alphabet and splits, digits one by one). Never picks the text it trains on.

use tokenizers::{
    AddedToken, PreTokenizerWrapper, Trainer,
    decoders::byte_level::ByteLevel as ByteLevelDecoder,
    models::bpe::{BPE, BpeTrainer},
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

use crate::tokenizer::{Extras, Tokenizer, TokenizerError};

/// The one special token of a trained tokenizer; begins and ends every document.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Fewest entries: 256 bytes and the end of text.
pub const MIN_VOCAB_SIZE: u32 = 257;

/// Longest token in letters of the byte alphabet, so that a pathological corpus cannot grow tokens without bound.
const MAX_TOKEN_LENGTH: usize = 64;

/// Trains a byte-level BPE (Sennrich et al. 2016) of at most `vocab_size` entries on `documents`.
///
/// The result depends on the documents alone: neither on their order nor on the number of threads, because words are
/// counted and ties between pairs are broken by id.
pub fn train_byte_level_bpe<I, S>(documents: I, vocab_size: u32) -> Result<Tokenizer, TokenizerError>
where
    I: Iterator<Item = S> + Send,
    S: AsRef<str> + Send,
{
    if vocab_size < MIN_VOCAB_SIZE {
        return Err(TokenizerError::Train(format!(
            "a vocabulary of {vocab_size} entries cannot hold 256 bytes and {END_OF_TEXT}: ask for at least \
             {MIN_VOCAB_SIZE}"
        )));
    }
    let fail = |error: tokenizers::Error| TokenizerError::Train(error.to_string());
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab_size as usize)
        // A pair seen once is no pattern.
        .min_frequency(2)
        .max_token_length(Some(MAX_TOKEN_LENGTH))
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true).normalized(false)])
        .build();
    let splitter = pre_tokenizer();
    trainer
        .feed(documents, |document| {
            let mut pieces = tokenizers::PreTokenizedString::from(document);
            tokenizers::PreTokenizer::pre_tokenize(&splitter, &mut pieces)?;
            Ok(pieces
                .get_splits(tokenizers::OffsetReferential::Original, tokenizers::OffsetType::Byte)
                .into_iter()
                .map(|(piece, _, _)| piece.to_owned())
                .collect())
        })
        .map_err(fail)?;
    let mut model = BPE::default();
    let special = trainer.train(&mut model).map_err(fail)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_pre_tokenizer(Some(splitter));
    inner.with_decoder(Some(ByteLevelDecoder::new(false, false, false)));
    inner.add_special_tokens(&special);
    let mut tokenizer = Tokenizer::new(inner, Extras::default());
    let end_of_text = tokenizer.token_id(END_OF_TEXT);
    tokenizer.extras_mut().eos_token_ids.extend(end_of_text);
    Ok(tokenizer)
}

/// Digits one by one, then GPT-2's pattern: the splits of SmolLM and StarCoder.
fn pre_tokenizer() -> PreTokenizerWrapper {
    PreTokenizerWrapper::Sequence(Sequence::new(vec![
        PreTokenizerWrapper::Digits(Digits::new(true)),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, true)),
    ]))
}
