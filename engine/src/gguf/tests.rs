//! GGUF files built byte by byte: what is read, and that whatever is wrong or cut off is refused before it is believed.

use proptest::prelude::*;

use super::testing::{Builder, string};
use super::*;
use crate::quant::Format;

fn small() -> Builder {
    Builder::default()
        .str("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .f32("llama.rope.freq_base", 10000.0)
        .str("tokenizer.ggml.model", "gpt2")
        .strings("tokenizer.ggml.tokens", &["a", "b", "ab"])
        .strings("tokenizer.ggml.merges", &["a b"])
        .u32("tokenizer.ggml.eos_token_id", 2)
        .tensor("x.weight", &[32, 2], 2, vec![1; 36])
        .tensor("y.weight", &[4], 0, vec![0; 16])
}

fn error(bytes: Vec<u8>) -> GgufError {
    GgufFile::from_bytes(bytes).expect_err("is refused")
}

#[test]
fn reads_metadata_tokens_and_tensors() {
    let file = GgufFile::from_bytes(small().build()).expect("opens");
    assert_eq!(file.metadata().str("general.architecture").unwrap(), "llama");
    let vocabulary = file.vocabulary().expect("has one");
    assert_eq!((vocabulary.tokens.len(), vocabulary.eos_token_id, vocabulary.add_bos), (3, Some(2), false));
    assert_eq!(vocabulary.merges, ["a b"]);
    let (info, bytes) = file.tensor("x.weight").expect("is there");
    assert_eq!((info.matrix_shape(), info.format().unwrap(), bytes.len()), (Some((2, 32)), Format::Q4_0, 36));
    assert!(matches!(file.tensor("z"), Err(GgufError::MissingTensor(name)) if name == "z"));
}

#[test]
fn refuses_what_is_not_gguf() {
    assert!(matches!(error(b"GGU".to_vec()), GgufError::Magic));
    assert!(matches!(error(vec![0; 64]), GgufError::Magic));
    let mut bytes = small().build();
    bytes[4] = 1;
    assert!(matches!(error(bytes), GgufError::Version(1)));
}

#[test]
fn what_is_whole_but_not_supported_is_called_so_by_name() {
    let versioned = |version: u32| {
        let mut bytes = small().build();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        error(bytes)
    };
    for (error, want) in [
        (versioned(1), "GGUF version 1 is not supported"),
        (versioned(4), "GGUF version 4 is not supported"),
        (versioned(3u32.swap_bytes()), "a big-endian GGUF file is not supported"),
    ] {
        assert!(error.to_string().starts_with(want) && !error.is_corruption(), "{error}");
    }
    assert!(error(small().build()[..100].to_vec()).is_corruption());
    assert!(error(b"GGUX".to_vec()).is_corruption());
}

#[test]
fn a_tensor_of_an_unsupported_type_is_refused_only_where_it_is_asked_for() {
    let file = small().tensor("k", &[256], 12, vec![0; 144]).tensor("new", &[3], 77, vec![0; 5]).build();
    let file = GgufFile::from_bytes(file).expect("opens");
    assert!(file.tensor("x.weight").is_ok());
    for (name, want) in [("k", "tensor \"k\" is Q4_K, which"), ("new", "tensor \"new\" is of the unknown type 77")] {
        let error = file.tensor(name).expect_err("is refused");
        assert!(error.to_string().starts_with(want) && !error.is_corruption(), "{error}");
    }
}

#[test]
fn text_that_is_not_utf8_stands_in_nobodys_way() {
    let latin = [&4u64.to_le_bytes()[..], b"caf\xE9"].concat();
    let mut list = [&8u32.to_le_bytes()[..], &2u64.to_le_bytes()].concat();
    list.extend([string("a"), latin.clone()].concat());
    let mut file = small();
    file.metadata.insert(0, ("general.description".into(), 8, latin));
    file.metadata.insert(1, ("general.tags".into(), 9, list));
    let file = GgufFile::from_bytes(file.build()).expect("opens");
    file.vocabulary().expect("what is behind is read");
    let errors = [
        file.metadata().str("general.description").unwrap_err(),
        file.metadata().optional_strings("general.tags").unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("is text that is not UTF-8, which is not supported"), "{error}");
        assert!(!error.is_corruption());
    }
}

#[test]
fn lists_of_lists_are_passed_over() {
    let inner = [&4u32.to_le_bytes()[..], &1u64.to_le_bytes(), &7u32.to_le_bytes()].concat();
    let list = [&9u32.to_le_bytes()[..], &2u64.to_le_bytes(), &inner, &inner].concat();
    let mut file = small();
    file.metadata.insert(0, ("x.nested".into(), 9, list));
    let file = GgufFile::from_bytes(file.build()).expect("opens");
    assert!(file.metadata().optional_integers("x.nested").unwrap_err().to_string().contains("a list of lists"));
    assert_eq!(file.metadata().u64("llama.block_count").unwrap(), 1);
}

#[test]
fn a_list_that_says_the_same_for_every_layer_is_one_number() {
    let list = |values: &[u32]| {
        let head = [&4u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        let mut file = small();
        file.metadata.push((
            "h".into(),
            9,
            [head, values.iter().flat_map(|value| value.to_le_bytes()).collect()].concat(),
        ));
        GgufFile::from_bytes(file.build()).expect("opens").metadata().optional_u64_of_every_layer("h")
    };
    assert_eq!(list(&[3, 3, 3]).unwrap(), Some(3));
    let error = list(&[3, 4]).unwrap_err();
    assert!(error.to_string().contains("differs from layer to layer") && !error.is_corruption(), "{error}");
}

#[test]
fn refuses_absurd_counts_before_allocating() {
    let mut bytes = small().build();
    bytes[8..16].fill(0xFF);
    assert!(matches!(error(bytes), GgufError::Count { what: "tensor", .. }));
    let mut bytes = small().build();
    bytes[24..32].fill(0x7F);
    assert!(matches!(error(bytes), GgufError::Truncated { what: "metadata key", .. }));
}

#[test]
fn further_ends_and_the_default_for_bos_are_llama_cpps() {
    let read = |builder: Builder| GgufFile::from_bytes(builder.build()).expect("opens").vocabulary().expect("is read");
    let mut file = small().u32("tokenizer.ggml.eot_token_id", 1).u32("tokenizer.ggml.fim_pad_token_id", 3);
    file.metadata.push(("tokenizer.ggml.eom_token_id".into(), 5, (-1i32).to_le_bytes().to_vec()));
    file.metadata.push(("tokenizer.ggml.add_eos_token".into(), 7, vec![1]));
    let vocabulary = read(file);
    assert_eq!((vocabulary.end_token_ids.as_slice(), vocabulary.add_eos), (&[1][..], true));
    for (pre, adds_bos) in [("llama-v3", true), ("tekken", true), ("smaug-bpe", false), ("default", false)] {
        assert_eq!(read(small().str("tokenizer.ggml.pre", pre)).add_bos, adds_bos, "{pre}");
    }
}

#[test]
fn refuses_every_truncation() {
    let bytes = small().build();
    for len in 0..bytes.len() {
        GgufFile::from_bytes(bytes[..len].to_vec()).expect_err("a shorter file is refused");
    }
}

#[test]
fn refuses_duplicate_misshapen_and_overlapping_tensors() {
    let message = |builder: Builder| error(builder.build()).to_string();
    assert!(message(small().tensor("k", &[255], 12, vec![0; 144])).contains("256-element block of Q4_K"));
    assert!(message(small().tensor("x.weight", &[1], 0, vec![0; 4])).contains("twice"));
    assert!(message(small().tensor("odd", &[33], 8, vec![0; 34])).contains("not a multiple"));
    assert!(message(small().tensor("big", &[u64::MAX, 2], 0, vec![])).contains("overflows"));
    assert!(message(small().tensor("beyond", &[4096], 0, vec![0; 4])).contains("outside"));
    assert!(message(small().u32("llama.block_count", 2)).contains("twice"));
    let mut bytes = small().build();
    let at = bytes.windows(8).position(|window| window == b"y.weight").unwrap() + 8 + 4 + 8 + 4;
    bytes[at..at + 8].fill(0);
    assert!(matches!(error(bytes), GgufError::Overlap { .. }));
}

#[test]
fn ids_that_are_none_are_ignored_with_a_note() {
    let mut file = small().u32("tokenizer.ggml.bos_token_id", 3).u32("tokenizer.ggml.padding_token_id", u32::MAX);
    file.metadata.push(("tokenizer.ggml.unknown_token_id".into(), 5, (-1i32).to_le_bytes().to_vec()));
    let vocabulary = GgufFile::from_bytes(file.build()).expect("opens").vocabulary().expect("is read");
    assert_eq!((vocabulary.bos_token_id, vocabulary.eos_token_id), (None, Some(2)));
    assert_eq!((vocabulary.padding_token_id, vocabulary.unknown_token_id), (None, None));
    for key in ["bos", "padding", "unknown"] {
        assert!(
            vocabulary.notes.iter().any(|note| note.starts_with(&format!("tokenizer.ggml.{key}_token_id"))),
            "{key}"
        );
    }
    assert_eq!(vocabulary.notes.len(), 3);
}

proptest! {
    #[test]
    fn mutated_bytes_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = small().build();
        for (index, value) in edits {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(file) = GgufFile::from_bytes(bytes) {
            let _ = file.vocabulary();
            for tensor in file.tensors() {
                match file.tensor(&tensor.name) {
                    Ok((_, bytes)) => prop_assert_eq!(bytes.len() as u64, tensor.num_bytes),
                    Err(error) => {
                        let is_unsupported = matches!(error, GgufError::TensorType { .. });
                        prop_assert!(is_unsupported, "{error}");
                    }
                }
            }
        }
    }
}
