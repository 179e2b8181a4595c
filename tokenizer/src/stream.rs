//! Turns tokens that arrive one by one into text.
//!
//! Owns the bytes of an unfinished character. Never emits half of one.

use std::borrow::Borrow;

use crate::tokenizer::Tokenizer;

/// Detokeniser of one generation. The pieces it returns, put together, are what `Tokenizer::decode` returns.
/// Holds the tokenizer by reference or by `Arc`, as suits whoever keeps it.
#[derive(Debug)]
pub struct DecodeStream<T: Borrow<Tokenizer>> {
    tokenizer: T,
    skip_special: bool,
    strip_space: bool,
    pending: Vec<u8>,
}

impl<T: Borrow<Tokenizer>> DecodeStream<T> {
    /// A detokeniser that has seen no token; with `skip_special`, special tokens add no text.
    pub fn new(tokenizer: T, skip_special: bool) -> Self {
        let strip_space = tokenizer.borrow().strips_leading_space();
        Self { tokenizer, skip_special, strip_space, pending: Vec::new() }
    }

    /// Text that is complete with token `id`; none while a character is still unfinished.
    pub fn push(&mut self, id: u32) -> Option<String> {
        let tokenizer = self.tokenizer.borrow();
        let mut bytes = tokenizer.token_bytes(id);
        if bytes.is_empty() || (self.skip_special && tokenizer.is_special(id)) {
            return None;
        }
        if std::mem::take(&mut self.strip_space) {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let complete = complete_len(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        (!text.is_empty()).then_some(text)
    }

    /// What is left when the generation ends: U+FFFD for an unfinished character.
    pub fn finish(self) -> Option<String> {
        (!self.pending.is_empty()).then(|| String::from_utf8_lossy(&self.pending).into_owned())
    }
}

/// Bytes in front of a character that more bytes could still complete.
fn complete_len(bytes: &[u8]) -> usize {
    let mut start = 0;
    loop {
        match std::str::from_utf8(&bytes[start..]) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                Some(invalid) => start += error.valid_up_to() + invalid,
                None => return start + error.valid_up_to(),
            },
        }
    }
}
