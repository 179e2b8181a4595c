//! How long a text may be so that its tokens can fit the context, told from its length alone.
//!
//! Owns the cheap bound that refuses megabytes before they are tokenised. What passes may still be too long: only its
//! tokens tell.

use bedplate_tokenizer::Tokenizer;

use crate::error::ApiError;

/// Bytes that a token may stand for where the tokenizer leaves text out (runs of blanks, accents, unknown words): far more
/// than any text that people write has, and few enough to keep tokenising bounded.
const ASSUMED_BYTES_PER_TOKEN: usize = 1024;

/// Most bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptLimit {
    max_model_len: usize,
    most_bytes: usize,
}

impl PromptLimit {
    /// The limit for texts that `tokenizer` turns into at most `max_model_len` tokens.
    pub fn new(tokenizer: &Tokenizer, max_model_len: usize) -> Self {
        let per_token = tokenizer.max_bytes_per_token().unwrap_or(ASSUMED_BYTES_PER_TOKEN);
        Self { max_model_len, most_bytes: max_model_len.saturating_mul(per_token) }
    }

    /// Refuses a text that cannot fit.
    ///
    /// # Errors
    /// Names both lengths.
    pub fn check(&self, text: &str, param: &'static str) -> Result<(), ApiError> {
        let Self { max_model_len, most_bytes } = *self;
        if text.len() <= most_bytes {
            return Ok(());
        }
        Err(ApiError::TextTooLong { param, bytes: text.len(), max_model_len, most_bytes })
    }
}
