//! Cuts long texts into pieces that a tokenizer can hold.
//!
//! A tokenizer needs some sixty bytes of memory for each byte it splits at once. Cuts fall where the tokenizers that we
//! train split anyway, so that the pieces' tokens are the text's tokens; for a tokenizer that was loaded the cuts are
//! part of what the Dataset is.

/// Shortest piece that is cut off: short enough for a bounded memory, long enough that cuts are rare.
pub const PIECE_BYTES: usize = 256 << 10;
/// How far beyond the shortest piece a good place is looked for, in multiples of it.
const PATIENCE: usize = 2;

/// The pieces of `text`, of at least `piece_bytes` (but for the last) and at most three times that.
pub fn pieces(text: &str, piece_bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(cut(rest, piece_bytes));
        rest = after;
        Some(piece)
    })
}

/// Where the first piece of `text` ends.
fn cut(text: &str, piece_bytes: usize) -> usize {
    if text.len() <= piece_bytes * PATIENCE {
        return text.len();
    }
    let limit = piece_bytes * (PATIENCE + 1);
    let bytes = text.as_bytes();
    // In front of a space or behind a line's end, with letters or digits around it: GPT-2's pattern takes a single space
    // with the word behind it and a single line's end alone.
    let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let ends = |at: usize| match (bytes[at - 1], bytes[at]) {
        (b'\n', _) => at > 1 && is_word(at - 2) && is_word(at),
        (_, b' ') => is_word(at - 1) && is_word(at + 1),
        _ => false,
    };
    (piece_bytes..limit.min(text.len())).find(|&at| ends(at)).unwrap_or_else(|| text.floor_char_boundary(piece_bytes))
}

#[cfg(test)]
mod tests {
    use bedplate_tokenizer::train_byte_level_bpe;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_without_any_good_place_is_still_cut() {
        let text = "é".repeat(100);
        let all: Vec<&str> = pieces(&text, 9).collect();
        assert_eq!(all.concat(), text);
        assert!(all.iter().all(|piece| piece.len() <= 27));
    }

    proptest! {
        #[test]
        fn the_tokens_of_the_pieces_are_the_tokens_of_the_text(text in "(([a-c]{1,4}|[0-9]{1,3}|'s|é|\\.)[ \n]{1,2}){20,80}") {
            let corpus = ["ab abc 12 a\nb c's abc ab", "ab\nabc abc. é é"];
            let tokenizer = train_byte_level_bpe(corpus.into_iter(), 280).unwrap();
            let whole = tokenizer.encode(&text, false).unwrap();
            let mut joined = Vec::new();
            for piece in pieces(&text, 24) {
                prop_assert!(piece.len() <= 72);
                joined.extend(tokenizer.encode(piece, false).unwrap());
            }
            // A place without letters around is cut anywhere, so only texts with good places are compared.
            let is_good = pieces(&text, 24).all(|piece| piece.len() > 24 || text.ends_with(piece));
            prop_assert!(!is_good || joined == whole);
        }
    }
}
