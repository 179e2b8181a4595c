//! Encoding and decoding agree, and training is reproducible.

use proptest::prelude::*;

use crate::{END_OF_TEXT, Tokenizer, TokenizerError, train_byte_level_bpe};

const TEXT: [&str; 4] =
    ["pub fn main() { println!(\"hello\"); }", "the theory of the thing", "naïve café 12345", "  \n\t"];

fn trained(vocab_size: u32) -> Tokenizer {
    train_byte_level_bpe(TEXT.iter().cycle().take(40), vocab_size).unwrap()
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(text in ".{0,60}") {
        let tokenizer = trained(300);
        let ids = tokenizer.encode(&text, false).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids, false), text.clone());
        let bytes: usize = ids.iter().map(|&id| tokenizer.token_byte_len(id)).sum();
        prop_assert_eq!(bytes, text.len());
    }

    #[test]
    fn streaming_equals_decoding_at_once(ids in prop::collection::vec(0_u32..300, 0..40)) {
        let tokenizer = trained(300);
        let mut stream = tokenizer.decode_stream(true);
        let mut text: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        text.extend(stream.finish());
        let bytes: Vec<u8> = ids.iter().filter(|&&id| !tokenizer.is_special(id)).flat_map(|&id| tokenizer.token_bytes(id).to_vec()).collect();
        prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
    }
}

#[test]
fn special_tokens_are_parsed_only_when_asked() {
    let tokenizer = trained(300);
    let text = format!("a{END_OF_TEXT}");
    let id = tokenizer.token_id(END_OF_TEXT).unwrap();
    assert_eq!(id, 0);
    assert_eq!(tokenizer.encode(&text, true).unwrap().last(), Some(&id));
    assert!(!tokenizer.encode(&text, false).unwrap().contains(&id));
    assert_eq!(tokenizer.decode(&[id], true), "");
    assert_eq!(tokenizer.decode(&[id], false), END_OF_TEXT);
    assert_eq!(tokenizer.token_byte_len(id), 0);
    assert_eq!(tokenizer.eos_token_ids(), [id]);
}

#[test]
fn training_depends_on_the_documents_alone() {
    let once = trained(320).to_json().unwrap();
    let reversed = train_byte_level_bpe(TEXT.iter().rev().cycle().take(40), 320).unwrap().to_json().unwrap();
    assert_eq!(once, reversed);
    assert!(trained(320).vocab_size() <= 320);
}

#[test]
fn a_saved_tokenizer_loads_again_and_a_damaged_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = trained(300);
    std::fs::write(&path, tokenizer.to_json().unwrap()).unwrap();
    let loaded = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(loaded.encode(TEXT[0], false).unwrap(), tokenizer.encode(TEXT[0], false).unwrap());
    assert_eq!(loaded.to_json().unwrap(), tokenizer.to_json().unwrap());
    assert_eq!(loaded.vocab_size(), tokenizer.vocab_size());
    assert_eq!(loaded.eos_token_ids(), [0]);
    std::fs::write(&path, "{\"version\":").unwrap();
    assert!(matches!(Tokenizer::from_file(&path), Err(TokenizerError::Parse { .. })));
    assert!(matches!(Tokenizer::from_file(folder.path().join("none")), Err(TokenizerError::Read { .. })));
}

#[test]
fn a_vocabulary_without_room_for_bytes_is_refused() {
    let error = train_byte_level_bpe(TEXT.iter(), 256).unwrap_err();
    assert!(error.to_string().contains("at least 257"), "{error}");
    assert!(train_byte_level_bpe(TEXT.iter(), 257).is_ok());
}
