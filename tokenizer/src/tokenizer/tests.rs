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

/// A tokenizer and what the Python package tokenizers 0.23.3 does with it, truncation and padding off as in transformers.
#[derive(serde::Deserialize)]
struct Reference {
    name: String,
    tokenizer: serde_json::Value,
    /// Text, its tokens, its tokens with those around it.
    encode: Vec<(String, Vec<u32>, Vec<u32>)>,
    /// Tokens, whether special ones are skipped, their text.
    decode: Vec<(Vec<u32>, bool, String)>,
    /// Tokens of a context, tokens behind them, whether special ones are skipped, the text that the latter add.
    after: Vec<(Vec<u32>, Vec<u32>, bool, String)>,
}

#[test]
fn tokenizers_of_every_kind_do_what_the_reference_does() {
    let references: Vec<Reference> = serde_json::from_str(include_str!("tests/tokenizers.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut differences = Vec::new();
    let mut expect = |name: &str, what: String, found: String, wanted: String| {
        if found != wanted {
            differences.push(format!("{name}: {what}\n  wanted {wanted}\n  found  {found}"));
        }
    };
    for reference in references {
        let name = &reference.name;
        std::fs::write(folder.path().join("tokenizer.json"), reference.tokenizer.to_string()).unwrap();
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
        for (text, bare, whole) in &reference.encode {
            let found = (tokenizer.encode(text, true).unwrap(), tokenizer.encode_with_special(text, true).unwrap());
            expect(name, format!("encode {text:?}"), format!("{found:?}"), format!("{:?}", (bare, whole)));
            // `</s>`, [SEP] or <unk>: a document ends with it once, whether the tokenizer adds it or not.
            for end in [2, 3] {
                let document = tokenizer.document(found.0.clone(), end);
                let is_closed = whole.last() == Some(&end);
                let wanted = if is_closed { whole.clone() } else { [&whole[..], &[end]].concat() };
                expect(name, format!("document {text:?}"), format!("{document:?}"), format!("{wanted:?}"));
            }
        }
        for (ids, skip_special, text) in &reference.decode {
            let found = tokenizer.decode(ids, *skip_special);
            expect(name, format!("decode {ids:?} skipping {skip_special}"), format!("{found:?}"), format!("{text:?}"));
        }
        for (context, ids, skip_special, text) in &reference.after {
            let found = tokenizer.decode_after(context, ids, *skip_special);
            let what = format!("{ids:?} after {context:?} skipping {skip_special}");
            expect(name, what, format!("{found:?}"), format!("{text:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_character_that_the_prompt_leaves_unfinished_comes_out_whole() {
    let tokenizer = trained(300);
    let ids = tokenizer.encode("né🦀", false).unwrap();
    for cut in 0..=ids.len() {
        let whole = tokenizer.decode_after(&ids[..cut], &ids[cut..], true);
        let text = String::from_utf8(ids[..cut].iter().flat_map(|&id| tokenizer.token_bytes(id).to_vec()).collect());
        let before = text.unwrap_or_else(|error| {
            String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned()
        });
        assert_eq!(before + &whole, "né🦀", "cut at {cut}");
    }
}
