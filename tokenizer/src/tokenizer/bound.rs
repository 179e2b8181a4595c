//! How much text one token can stand for at most, so that a text too long for a context is known by its length.
//!
//! Reads the pipeline's parts as `tokenizer.json` describes them. Never encodes anything.

use serde_json::Value;
use tokenizers::ModelWrapper;

use super::{
    Tokenizer,
    bytes::{byte_alphabet, is_byte_level},
};

/// Unicode's normal forms write at most four bytes as one: `𝐀` (4 bytes) becomes `A`.
const NORMAL_FORM_SHRINKS: usize = 4;
/// Lower case writes at most three bytes as one: the Kelvin sign (3 bytes) becomes `k`.
const LOWER_CASE_SHRINKS: usize = 3;

impl Tokenizer {
    /// Most bytes of a text that one token stands for. None where a token may stand for any amount of it, because the
    /// tokenizer leaves text out (runs of blanks, accents) or writes unknown words as one token. Blanks that an added token
    /// takes in with it (`lstrip`, `rstrip`) do not count.
    pub fn max_bytes_per_token(&self) -> Option<usize> {
        let describe = |part: Option<Value>| part.unwrap_or(Value::Null);
        let normalizer = describe(self.parsing.get_normalizer().and_then(|part| serde_json::to_value(part).ok()));
        let splitter = describe(self.parsing.get_pre_tokenizer().and_then(|part| serde_json::to_value(part).ok()));
        let shrinks = normalizer_shrinks(&normalizer)?;
        let byte_level = is_byte_level(&normalizer) || is_byte_level(&splitter);
        if !splitter_keeps_all(&splitter) || !self.writes_every_byte(byte_level) {
            return None;
        }
        let ids = 0..self.vocab_size() as u32;
        let longest = ids.map(|id| match byte_level {
            true => self.token_bytes(id).len(),
            // A text may hold the metaspace itself, which is longer than the space that it stands for elsewhere.
            false => self.token_text(id).map_or(0, |text| text.len()),
        });
        Some(longest.max()?.max(1) * shrinks)
    }

    /// Whether every byte of a text becomes a part of some token.
    fn writes_every_byte(&self, byte_level: bool) -> bool {
        let ModelWrapper::BPE(model) = self.parsing.get_model() else { return false };
        match byte_level {
            true => byte_alphabet().keys().all(|letter| self.token_id(&letter.to_string()).is_some()),
            false => {
                model.byte_fallback && (0..=u8::MAX).all(|byte| self.token_id(&format!("<0x{byte:02X}>")).is_some())
            }
        }
    }
}

/// How many bytes at most become one byte; none where text may vanish.
fn normalizer_shrinks(part: &Value) -> Option<usize> {
    match part["type"].as_str() {
        None if part.is_null() => Some(1),
        Some("Sequence") => part["normalizers"]
            .as_array()?
            .iter()
            .try_fold(1, |product, part| Some(product * normalizer_shrinks(part)?)),
        Some("NFC" | "NFD" | "NFKC" | "NFKD") => Some(NORMAL_FORM_SHRINKS),
        Some("Lowercase") => Some(LOWER_CASE_SHRINKS),
        Some("Prepend" | "ByteLevel") => Some(1),
        Some("Replace") => {
            let (from, to) = (part["pattern"]["String"].as_str()?, part["content"].as_str()?);
            (!to.is_empty()).then(|| from.len().div_ceil(to.len()).max(1))
        }
        _ => None,
    }
}

fn splitter_keeps_all(part: &Value) -> bool {
    match part["type"].as_str() {
        None => part.is_null(),
        Some("Sequence") => part["pretokenizers"].as_array().is_some_and(|parts| parts.iter().all(splitter_keeps_all)),
        Some("ByteLevel" | "Metaspace" | "Digits" | "UnicodeScripts" | "FixedLength") => true,
        Some("Split" | "Punctuation") => part["behavior"] != "Removed",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{tokenizer::Extras, train_byte_level_bpe};

    fn with_parts(normalizer: Value, pre_tokenizer: Value, vocab: Value, byte_fallback: bool) -> Tokenizer {
        let model = json!({
            "type": "BPE", "vocab": vocab, "merges": [], "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": byte_fallback,
        });
        let file = json!({
            "version": "1.0", "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model,
        });
        Tokenizer::new(tokenizers::Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap(), Extras::default())
    }

    fn sentence_piece(byte_fallback: bool) -> Tokenizer {
        let mut vocab = json!({ "<unk>": 256, "▁": 257, "a": 258, "▁▁": 259 });
        (0..256).for_each(|byte| vocab[format!("<0x{byte:02X}>")] = byte.into());
        let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        let normalizer = json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, space] });
        with_parts(normalizer, Value::Null, vocab, byte_fallback)
    }

    #[test]
    fn no_text_has_fewer_tokens_than_its_length_says() {
        let trained = train_byte_level_bpe(["the quick brown fox, the quick brown dog"].iter(), 300).unwrap();
        for tokenizer in [trained, sentence_piece(true)] {
            let per_token = tokenizer.max_bytes_per_token().unwrap();
            for text in
                ["", "the quick brown fox", "     a", "▁▁▁▁", "🦀🦀", "<|endoftext|><|endoftext|>", "<0x41><unk>"]
            {
                let tokens = tokenizer.encode(text, true).unwrap().len();
                assert!(tokens * per_token >= text.len(), "{text:?}: {tokens} tokens of at most {per_token} bytes");
            }
        }
    }

    #[test]
    fn the_longest_token_counts_as_the_text_writes_it() {
        let trained = train_byte_level_bpe(["aaaaaaaa bbbb"; 4].iter(), 300).unwrap();
        // The special token is the longest: `<|endoftext|>`.
        assert_eq!(trained.max_bytes_per_token(), Some(13));
        assert_eq!(sentence_piece(true).max_bytes_per_token(), Some("<0x00>".len()));
    }

    #[test]
    fn where_text_may_vanish_there_is_no_bound() {
        assert_eq!(sentence_piece(false).max_bytes_per_token(), None, "unknown characters become one token");
        let vocab = || {
            let mut vocab = json!({ "<unk>": 0 });
            byte_alphabet().keys().enumerate().for_each(|(id, letter)| vocab[letter.to_string()] = (id + 1).into());
            vocab
        };
        let byte_level =
            json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
        let split = |behavior: &str| {
            let split = json!({ "type": "Split", "pattern": { "String": " " }, "behavior": behavior, "invert": false });
            json!({ "type": "Sequence", "pretokenizers": [split, byte_level] })
        };
        assert!(with_parts(Value::Null, split("Isolated"), vocab(), false).max_bytes_per_token().is_some());
        assert_eq!(with_parts(Value::Null, split("Removed"), vocab(), false).max_bytes_per_token(), None);
        let strip = json!({ "type": "Strip", "strip_left": true, "strip_right": true });
        assert_eq!(with_parts(strip, byte_level.clone(), vocab(), false).max_bytes_per_token(), None);
        let nfc = with_parts(json!({ "type": "NFC" }), byte_level.clone(), vocab(), false);
        assert_eq!(nfc.max_bytes_per_token(), Some(5 * NORMAL_FORM_SHRINKS), "four times the bytes of <unk>");
    }
}
