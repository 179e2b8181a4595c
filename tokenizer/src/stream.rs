//! Turns tokens that arrive one by one into text.
//!
//! Owns the bytes of an unfinished character. Never emits half of one.

use std::borrow::Borrow;

use crate::tokenizer::Tokenizer;

/// Longest character in UTF-8; an unfinished one is shorter.
const MAX_CHARACTER_BYTES: usize = 4;

/// Detokeniser of one generation. The pieces it returns, put together, are what `Tokenizer::decode` or
/// `Tokenizer::decode_after` returns. Holds the tokenizer by reference or by `Arc`, as suits whoever keeps it.
#[derive(Debug)]
pub struct DecodeStream<T: Borrow<Tokenizer>> {
    tokenizer: T,
    skip_special: bool,
    /// No token has added text yet: SentencePiece drops the space in front of the first one.
    begins_text: bool,
    pending: Vec<u8>,
}

impl<T: Borrow<Tokenizer>> DecodeStream<T> {
    /// A detokeniser for a text of its own; with `skip_special`, special tokens add no text.
    pub fn new(tokenizer: T, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, begins_text: true, pending: Vec::new() }
    }

    /// A detokeniser for what follows the tokens of `context`, usually the prompt. The space in front of the first word
    /// stays, unless nothing of `context` is text; a character that `context` leaves unfinished comes out whole with the
    /// token that completes it.
    pub fn after(tokenizer: T, context: &[u32], skip_special: bool) -> Self {
        let mut stream = Self::new(tokenizer, skip_special);
        // Backwards, for a prompt may be long and only its last character matters.
        let mut tail: Vec<&[u8]> = Vec::new();
        let mut len = 0;
        for &id in context.iter().rev() {
            let bytes = text_of(stream.tokenizer.borrow(), id, skip_special);
            len += bytes.len();
            tail.push(bytes);
            if len >= MAX_CHARACTER_BYTES {
                break;
            }
        }
        tail.reverse();
        let mut tail = tail.concat();
        tail.drain(..complete_len(&tail));
        stream.pending = tail;
        stream.begins_text = len == 0;
        stream
    }

    /// Text that is complete with token `id`; none while a character is still unfinished.
    pub fn push(&mut self, id: u32) -> Option<String> {
        let tokenizer = self.tokenizer.borrow();
        let bytes = text_of(tokenizer, id, self.skip_special);
        if bytes.is_empty() {
            return None;
        }
        if std::mem::take(&mut self.begins_text) {
            self.pending.extend_from_slice(&tokenizer.first_bytes(id));
        } else {
            self.pending.extend_from_slice(bytes);
        }
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

/// Bytes that token `id` adds behind other text.
fn text_of(tokenizer: &Tokenizer, id: u32, skip_special: bool) -> &[u8] {
    if skip_special && tokenizer.is_special(id) { &[] } else { tokenizer.token_bytes(id) }
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
