//! The bytes each token stands for, in one flat table.
//!
//! Owns the mapping from how a token is written to what it means. Never decodes text itself.

use std::collections::HashMap;

use tokenizers::DecoderWrapper;

/// SentencePiece writes a space as this character.
const METASPACE: char = '\u{2581}';

/// Bytes of every token: `data[offsets[id]..offsets[id + 1]]`.
#[derive(Debug)]
pub(crate) struct TokenBytes {
    data: Vec<u8>,
    offsets: Vec<usize>,
    special: Vec<bool>,
    strips_leading_space: bool,
}

impl TokenBytes {
    pub(crate) fn of(inner: &tokenizers::Tokenizer) -> Self {
        let byte_level = uses_byte_level(inner.get_decoder());
        let alphabet = byte_alphabet();
        let added = inner.get_added_tokens_decoder();
        let vocab = inner.get_vocab(true);
        let len = vocab.values().max().map_or(0, |&id| id as usize + 1);
        let mut texts = vec![None; len];
        for (text, id) in &vocab {
            texts[*id as usize] = Some(text.as_str());
        }
        let mut table = Self {
            data: Vec::new(),
            offsets: vec![0],
            special: Vec::with_capacity(len),
            strips_leading_space: !byte_level,
        };
        for (id, text) in texts.into_iter().enumerate() {
            let added_token = added.get(&(id as u32));
            match (text, byte_level) {
                (None, _) => {}
                (Some(text), _) if added_token.is_some() => table.data.extend_from_slice(text.as_bytes()),
                (Some(text), true) => table.push_byte_level(text, &alphabet),
                (Some(text), false) => table.push_sentence_piece(text),
            }
            table.offsets.push(table.data.len());
            table.special.push(added_token.is_some_and(|token| token.special));
        }
        table
    }

    pub(crate) fn len(&self) -> usize {
        self.special.len()
    }

    pub(crate) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        if id < self.len() { &self.data[self.offsets[id]..self.offsets[id + 1]] } else { &[] }
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    pub(crate) fn strips_leading_space(&self) -> bool {
        self.strips_leading_space
    }

    /// A token whose characters are not all letters of the byte alphabet stands for itself.
    fn push_byte_level(&mut self, text: &str, alphabet: &HashMap<char, u8>) {
        let start = self.data.len();
        for character in text.chars() {
            match alphabet.get(&character) {
                Some(&byte) => self.data.push(byte),
                None => {
                    self.data.truncate(start);
                    self.data.extend_from_slice(text.as_bytes());
                    return;
                }
            }
        }
    }

    /// `<0xNN>` is one byte, the metaspace is a space, everything else stands for itself.
    fn push_sentence_piece(&mut self, text: &str) {
        let byte = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        match byte.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => self.data.push(byte),
            None => self.data.extend_from_slice(text.replace(METASPACE, " ").as_bytes()),
        }
    }
}

fn uses_byte_level(decoder: Option<&DecoderWrapper>) -> bool {
    match decoder {
        Some(DecoderWrapper::ByteLevel(_)) => true,
        Some(DecoderWrapper::Sequence(sequence)) => {
            sequence.get_decoders().iter().any(|decoder| matches!(decoder, DecoderWrapper::ByteLevel(_)))
        }
        _ => false,
    }
}

/// GPT-2's alphabet (Radford et al. 2019): printable Latin-1 bytes are themselves, the others are shifted past U+0100.
pub(crate) fn byte_alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut shifted = 0x100..;
    (0..=u8::MAX)
        .map(|byte| {
            let code = if printable(byte) { u32::from(byte) } else { shifted.next().expect("the range is endless") };
            (char::from_u32(code).expect("codes up to 0x143 are characters"), byte)
        })
        .collect()
}
