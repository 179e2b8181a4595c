//! Names of tokens that share a text or have none, and where each begins.

use bedplate_tokenizer::train_byte_level_bpe;

use super::*;
use crate::sampling::TokenLogprobs;

/// A vocabulary of single bytes.
fn tokenizer() -> Arc<Tokenizer> {
    Arc::new(train_byte_level_bpe(["a"].iter(), 257).expect("a vocabulary of bytes"))
}

/// The token of one byte.
fn byte(tokenizer: &Tokenizer, byte: u8) -> u32 {
    (0..tokenizer.vocab_size() as u32).find(|&id| tokenizer.token_bytes(id) == [byte]).expect("every byte is a token")
}

fn token(id: u32, top: &[u32]) -> PieceToken {
    let top = top.iter().enumerate().map(|(rank, &id)| (id, -(rank as f32))).collect();
    PieceToken { id, logprobs: Some(TokenLogprobs { chosen: (id, -0.25), top }) }
}

#[test]
fn parts_of_characters_are_told_apart_by_their_bytes() {
    let tokenizer = tokenizer();
    let ids = [b'a', 0xe2, 0x82, 0xac].map(|value| byte(&tokenizer, value));
    let names = Names::new(tokenizer.clone(), false);
    let tokens = ids.map(|id| token(id, &ids));
    let written = CompletionLogprobs::of(&names, &tokens, &mut Offsets::new(tokenizer.clone(), &[], true)).unwrap();
    assert_eq!(written.tokens, ["a", "bytes:\\xe2", "bytes:\\x82", "bytes:\\xac"]);
    assert_eq!(written.text_offset, [0, 1, 1, 1], "the three are one character");
    for (name, top) in written.tokens.iter().zip(&written.top_logprobs) {
        assert_eq!((top.len(), &top[name]), (4, &json!(-0.25)), "{top:?}");
    }
    let chat = chat(&names, &tokens[1..2]);
    let entry = &chat["content"][0];
    assert_eq!((&entry["token"], &entry["bytes"]), (&json!("\u{fffd}"), &json!([0xe2])));
    assert_eq!(entry["top_logprobs"].as_array().unwrap().len(), 4);
}

#[test]
fn two_tokens_of_one_text_are_both_named() {
    let tokenizer = tokenizer();
    // Ids beyond the vocabulary have no bytes, and so one text: none.
    let (first, second) = (5000, 5001);
    let names = Names::new(tokenizer.clone(), false);
    let tokens = [token(second, &[first, second])];
    let written = CompletionLogprobs::of(&names, &tokens, &mut Offsets::new(tokenizer, &[], true)).unwrap();
    assert_eq!(written.tokens, [""]);
    assert_eq!(written.top_logprobs[0].keys().collect::<Vec<_>>(), ["", "token_id:5000"]);
    assert_eq!(written.top_logprobs[0][""], json!(-0.25), "the chosen one has the name that `tokens` has");
}

#[test]
fn ids_can_stand_for_the_names_and_infinity_is_a_number() {
    let tokenizer = tokenizer();
    let names = Names::new(tokenizer.clone(), true);
    let logprobs = TokenLogprobs { chosen: (7, f32::NEG_INFINITY), top: vec![(7, f32::NEG_INFINITY)] };
    let tokens = [PieceToken { id: 7, logprobs: Some(logprobs) }];
    let written = CompletionLogprobs::of(&names, &tokens, &mut Offsets::new(tokenizer, &[], true)).unwrap();
    assert_eq!((&written.tokens[0], written.token_logprobs[0]), (&"token_id:7".to_owned(), LEAST));
    assert_eq!(written.top_logprobs[0]["token_id:7"], json!(LEAST));
    assert_eq!(chat(&names, &tokens)["content"][0]["token"], "token_id:7");
}
