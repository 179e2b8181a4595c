//! GGUF files built byte by byte: what is read, and that whatever is wrong or cut off is refused before it is believed.

use proptest::prelude::*;

use super::testing::Builder;
use super::*;

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
    assert_eq!((info.matrix_shape(), info.format, bytes.len()), (Some((2, 32)), Format::Q4_0, 36));
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
fn refuses_unsupported_duplicate_misshapen_and_overlapping_tensors() {
    let message = |builder: Builder| error(builder.build()).to_string();
    assert!(message(small().tensor("k", &[256], 12, vec![0; 144])).contains("Q4_K"));
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
fn special_ids_outside_the_vocabulary_are_refused() {
    let file = GgufFile::from_bytes(small().u32("tokenizer.ggml.bos_token_id", 3).build()).expect("opens");
    assert!(matches!(file.vocabulary(), Err(GgufError::WrongType { key, .. }) if key.ends_with("bos_token_id")));
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
                prop_assert_eq!(file.tensor(&tensor.name).unwrap().1.len() as u64, tensor.num_bytes);
            }
        }
    }
}
