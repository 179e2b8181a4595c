//! Remembers the tokens of words, because text says the same words again and again.
//!
//! Only for tokenizers that we trained, whose splits we know: GPT-2's pattern never crosses the place in front of a
//! space that a letter or a sign follows, so the tokens of the parts are the tokens of the text.

use std::{collections::HashMap, sync::Mutex};

use bedplate_tokenizer::{Tokenizer, TokenizerError};

/// Words each thread remembers before it begins anew: with their tokens some 8 MiB, and all but the rare ones.
const MAX_WORDS: usize = 1 << 16;
/// Longest word worth remembering.
const MAX_WORD_BYTES: usize = 48;

/// Words and their tokens.
type Known = HashMap<Box<str>, Box<[u32]>>;

/// What each thread remembers.
pub(super) struct WordCache {
    threads: Vec<Mutex<Known>>,
}

impl WordCache {
    /// Nothing remembered yet, for the threads of the current pool.
    pub(super) fn new() -> Self {
        Self { threads: (0..rayon::current_num_threads()).map(|_| Mutex::default()).collect() }
    }

    /// The tokens of `text`.
    pub(super) fn encode(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.threads.len();
        // One thread each: never contended. What a panic left behind is still a map of words to their tokens.
        let mut known = self.threads[thread].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut tokens = Vec::with_capacity(text.len() / 3);
        for word in words(text) {
            if let Some(word_tokens) = known.get(word) {
                tokens.extend_from_slice(word_tokens);
                continue;
            }
            let word_tokens = tokenizer.encode(word, false)?;
            tokens.extend_from_slice(&word_tokens);
            if word.len() <= MAX_WORD_BYTES {
                if known.len() >= MAX_WORDS {
                    known.clear();
                }
                known.insert(word.into(), word_tokens.into());
            }
        }
        Ok(tokens)
    }
}

/// The parts of `text` between the places where every tokenizer of ours splits.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let begins = move |at: usize| {
        bytes[at] == b' ' && bytes.get(at + 1).is_some_and(|next| next.is_ascii_graphic() && !next.is_ascii_digit())
    };
    let mut begin = 0;
    std::iter::from_fn(move || {
        if begin == bytes.len() {
            return None;
        }
        let end = (begin + 1..bytes.len()).find(|&at| begins(at)).unwrap_or(bytes.len());
        let word = &text[begin..end];
        begin = end;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use bedplate_tokenizer::train_byte_level_bpe;
    use proptest::prelude::*;

    use super::*;

    const CORPUS: &str = "    let mut a = b's;\n\t\tfn it's(x: &u8) -> 12 {  }\r\n\n  // é 漢字 ²  we'll\n";

    proptest! {
        #[test]
        fn the_tokens_of_the_words_are_the_tokens_of_the_text(
            parts in prop::collection::vec(prop_oneof![
                Just(" "), Just("  "), Just("\n"), Just("\t"), Just("\r\n"), Just("\u{a0}"), Just("'s"), Just("'"), Just("'ll"),
                Just("let"), Just("fn"), Just("é"), Just("漢"), Just("²"), Just("1"), Just("23"), Just("("), Just("};"), Just("a"),
                Just("<|endoftext|>"), Just("e\u{301}"),
            ], 0..40)
        ) {
            let text = parts.concat();
            let tokenizer = train_byte_level_bpe([CORPUS, CORPUS, "let fn a };"].into_iter(), 300).unwrap();
            let cache = WordCache::new();
            for _ in 0..2 {
                prop_assert_eq!(cache.encode(&tokenizer, &text).unwrap(), tokenizer.encode(&text, false).unwrap());
            }
        }
    }
}
