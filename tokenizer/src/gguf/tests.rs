//! A GGUF vocabulary means what llama.cpp makes of it.

use super::*;
use crate::tokenizer::bytes_alphabet_for_tests as alphabet;

/// A vocabulary of all bytes, some merges and these tokens behind, with their types.
fn vocab(pre: &str, further: &[(&str, i32)]) -> GgufVocab {
    let mut tokens = alphabet();
    tokens.extend(["ab", "abc", "xyz"].map(str::to_owned));
    let mut token_types = vec![1; tokens.len()];
    for (text, kind) in further {
        tokens.push((*text).to_owned());
        token_types.push(*kind);
    }
    let merges = vec!["a b".to_owned(), "ab c".to_owned()];
    GgufVocab { model: "gpt2".to_owned(), pre: pre.to_owned(), tokens, token_types, merges, ..GgufVocab::default() }
}

fn texts(tokenizer: &Tokenizer) -> Vec<String> {
    tokenizer.end_tokens().map(|(_, text)| text).collect()
}

#[test]
fn without_ids_in_the_file_bos_and_eos_are_11() {
    let tokenizer = Tokenizer::from_gguf(vocab("", &[])).unwrap();
    assert_eq!((tokenizer.bos_token_id(), tokenizer.eos_token_ids()), (Some(11), &[11][..]));
    assert!(tokenizer.prefix().is_empty(), "no name asks for BOS");
}

#[test]
fn the_name_says_whether_a_word_without_merges_is_a_token() {
    let count = |pre| Tokenizer::from_gguf(vocab(pre, &[])).unwrap().encode("xyz", true).unwrap().len();
    assert_eq!(["llama-bpe", "llama3", "tekken"].map(count), [1, 1, 1]);
    assert_eq!(["", "gpt-2", "smaug-bpe"].map(count), [3, 3, 3]);
}

#[test]
fn bos_and_eos_are_added_where_the_file_says_so() {
    let said = |add_bos, add_eos| {
        let vocab = GgufVocab { bos_token_id: Some(0), eos_token_id: Some(1), add_bos, add_eos, ..vocab("", &[]) };
        Tokenizer::from_gguf(vocab).unwrap().encode_with_special("abc", true).unwrap()
    };
    assert_eq!((said(false, false), said(true, false)), (vec![257], vec![0, 257]));
    assert_eq!((said(false, true), said(true, true)), (vec![257, 1], vec![0, 257, 1]));
}

#[test]
fn a_chat_model_ends_where_its_template_ends_a_turn() {
    let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|turn_over|>\n{% endfor %}";
    let tokenizer = Tokenizer::from_gguf(GgufVocab {
        eos_token_id: Some(259),
        chat_template: Some(template.to_owned()),
        ..vocab("gpt-2", &[("<|the_end|>", 3), ("<|turn_over|>", 4), ("<|user|>", 3)])
    })
    .unwrap();
    assert_eq!(texts(&tokenizer), ["<|the_end|>", "<|turn_over|>"]);
}

#[test]
fn spellings_and_named_ends_count_whatever_the_type() {
    let further = [("<|im_end|>", 1), ("<reponame>", 3), ("<|other|>", 3), ("<|end|>", 3)];
    let tokenizer =
        Tokenizer::from_gguf(GgufVocab { eos_token_id: Some(0), end_token_ids: vec![261], ..vocab("gpt-2", &further) })
            .unwrap();
    let first = tokenizer.token_text(0).unwrap();
    assert_eq!(texts(&tokenizer), [first.as_str(), "<|other|>", "<|im_end|>", "<reponame>", "<|end|>"]);
    assert_eq!(tokenizer.decode(&[256, 259, 257], true), "ababc", "an end is never shown");
    let harmony = [("<|end|>", 3), ("<|return|>", 3), ("<|call|>", 3), ("<|channel|>", 3)];
    let tokenizer = Tokenizer::from_gguf(GgufVocab { eos_token_id: Some(260), ..vocab("gpt-2", &harmony) }).unwrap();
    assert_eq!(texts(&tokenizer), ["<|return|>", "<|call|>"], "<|end|> ends a part of the turn");
    assert_eq!(tokenizer.decode(&[262, 259], true), "<|channel|>");
}

#[test]
fn a_broken_template_does_not_keep_the_model_from_completions() {
    let broken = GgufVocab { chat_template: Some("{% if %}".to_owned()), ..vocab("gpt-2", &[]) };
    let tokenizer = Tokenizer::from_gguf(broken).unwrap();
    assert_eq!(tokenizer.encode("abc", true).unwrap(), [257]);
    assert!(tokenizer.chat_template(None).unwrap_err().to_string().contains("cannot compile the chat template"));
}

#[test]
fn what_is_not_supported_is_named_with_a_way_out() {
    let refuse = |vocab: GgufVocab| Tokenizer::from_gguf(vocab).unwrap_err().to_string();
    let other = GgufVocab { model: "llama".to_owned(), ..vocab("", &[]) };
    assert!(
        refuse(other).contains("`llama`; `gpt2` (byte-level BPE) is supported; use the model's safetensors folder")
    );
    assert!(refuse(vocab("whitespace", &[])).contains("tokenizer.ggml.pre is `whitespace`"));
    assert!(refuse(GgufVocab { bos_token_id: Some(9999), ..vocab("", &[]) }).contains("special token 9999"));
}
