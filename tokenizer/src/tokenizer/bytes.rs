//! The bytes each token stands for, in one flat table.
//!
//! Owns the mapping from how a token is written to what it means behind other text. Never decodes text itself.

use std::collections::HashMap;

use tokenizers::{Decoder, DecoderWrapper};

/// SentencePiece writes a space as this character.
const METASPACE: char = '\u{2581}';
/// A token that every decoder leaves as it is, in front of the one that is looked at.
const PROBE: &str = "a";

/// Bytes of every token: `data[offsets[id]..offsets[id + 1]]`.
#[derive(Debug)]
pub(crate) struct TokenBytes {
    data: Vec<u8>,
    offsets: Vec<usize>,
    special: Vec<bool>,
    added: Vec<bool>,
    writing: Writing,
}

/// How a vocabulary writes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// In GPT-2's alphabet.
    ByteLevel,
    /// As SentencePiece: the metaspace for a space, `<0xNN>` for a byte.
    SentencePiece,
    /// As its decoder says, which is asked token by token (WordPiece, word vocabularies).
    Other,
}

impl TokenBytes {
    pub(crate) fn of(inner: &tokenizers::Tokenizer) -> Self {
        let decoder = inner.get_decoder();
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
            added: Vec::with_capacity(len),
            writing: Writing::of(inner),
        };
        for (id, text) in texts.into_iter().enumerate() {
            let added_token = added.get(&(id as u32));
            match (text, table.writing) {
                (None, _) => {}
                // An added token stands for itself, never for letters of the alphabet.
                (Some(text), Writing::ByteLevel) if added_token.is_some() => {
                    table.data.extend_from_slice(text.as_bytes());
                }
                (Some(text), Writing::ByteLevel) => table.push_byte_level(text, &alphabet),
                (Some(text), Writing::SentencePiece) => table.push_sentence_piece(text),
                (Some(text), Writing::Other) => table.data.extend_from_slice(behind_probe(decoder, text).as_bytes()),
            }
            table.offsets.push(table.data.len());
            table.added.push(added_token.is_some());
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

    pub(crate) fn is_added(&self, id: u32) -> bool {
        self.added.get(id as usize).copied().unwrap_or(false)
    }

    /// Bytes of the token written `text` as the first of a text, or none where that makes no difference.
    pub(crate) fn first(&self, text: &str, decoder: Option<&DecoderWrapper>) -> Option<String> {
        match self.writing {
            Writing::ByteLevel => None,
            Writing::SentencePiece if byte_of(text).is_some() => None,
            _ => Some(decode_alone(decoder, &[text])),
        }
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
        match byte_of(text) {
            Some(byte) => self.data.push(byte),
            None => self.data.extend_from_slice(text.replace(METASPACE, " ").as_bytes()),
        }
    }
}

impl Writing {
    fn of(inner: &tokenizers::Tokenizer) -> Self {
        let Some(decoder) = inner.get_decoder() else {
            // Without a decoder the tokens are words, unless the splitter has made letters of bytes out of them.
            let splitter = inner.get_pre_tokenizer().and_then(|part| serde_json::to_value(part).ok());
            let is_byte_level = splitter.is_some_and(|part| is_byte_level(&part));
            return if is_byte_level { Self::ByteLevel } else { Self::Other };
        };
        if uses_byte_level(decoder) {
            return Self::ByteLevel;
        }
        // The parts of a decoder are private, but what it is saved as is not.
        let saved = serde_json::to_value(decoder).unwrap_or_default();
        let parts = saved["decoders"].as_array().map_or_else(|| vec![&saved], |parts| parts.iter().collect());
        let mut is_fused = false;
        let is_plain = parts.iter().all(|part| match part["type"].as_str() {
            Some("Metaspace") => part["replacement"] == METASPACE.to_string(),
            Some("Replace") => part["pattern"]["String"] == METASPACE.to_string() && part["content"] == " ",
            Some("ByteFallback") => true,
            Some("Fuse") => {
                is_fused = true;
                true
            }
            // Behind a fuse it concerns the first token alone.
            Some("Strip") => is_fused && part["stop"] == 0,
            _ => false,
        });
        if is_plain { Self::SentencePiece } else { Self::Other }
    }
}

/// The byte that `<0xNN>` names.
fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

/// What the decoder adds for the token `text` behind another one.
fn behind_probe(decoder: Option<&DecoderWrapper>, text: &str) -> String {
    let decoded = decode_alone(decoder, &[PROBE, text]);
    decoded.strip_prefix(PROBE).unwrap_or(text).to_owned()
}

/// What the decoder makes of these tokens. Without a decoder they are words with a space between.
fn decode_alone(decoder: Option<&DecoderWrapper>, texts: &[&str]) -> String {
    let decoded = decoder.map(|decoder| decoder.decode(texts.iter().map(|text| (*text).to_owned()).collect()));
    match decoded {
        Some(Ok(decoded)) => decoded,
        Some(Err(_)) => texts.concat(),
        None => texts.join(" "),
    }
}

/// Whether a splitter, as it is saved, is GPT-2's or has it as a part.
pub(super) fn is_byte_level(part: &serde_json::Value) -> bool {
    let parts = part["normalizers"].as_array().or_else(|| part["pretokenizers"].as_array());
    part["type"] == "ByteLevel" || parts.is_some_and(|parts| parts.iter().any(is_byte_level))
}

fn uses_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(uses_byte_level),
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

/// The letters of all bytes, in their order.
#[cfg(test)]
pub(crate) fn letters() -> Vec<String> {
    let mut letters: Vec<(u8, char)> = byte_alphabet().into_iter().map(|(letter, byte)| (byte, letter)).collect();
    letters.sort_unstable();
    letters.into_iter().map(|(_, letter)| letter.to_string()).collect()
}
