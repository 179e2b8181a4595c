//! Each stage alone, and what it counts.

use bedplate_crds::dataset::PipelineStage;
use proptest::prelude::*;

use super::{counts::Tally, stage::Stage};
use crate::document::Document;

fn apply(stage: &PipelineStage, texts: &[&[u8]]) -> (Vec<Vec<u8>>, Tally) {
    let documents = texts.iter().enumerate();
    let documents = documents.map(|(index, text)| Document { origin: format!("file {index}"), text: text.to_vec() });
    let mut tally = Tally::new("stage");
    let kept = Stage::new(stage).apply(documents.collect(), &mut tally).unwrap();
    (kept.into_iter().map(|document| document.text).collect(), tally)
}

#[test]
fn utf8_repair_mends_a_little_and_drops_much() {
    let stage = PipelineStage::Utf8Repair { max_replaced_ratio: 0.2 };
    let (kept, tally) = apply(&stage, &[b"good", b"abcdefg\xff", b"\xff\xfe\x00", "é".as_bytes(), b"abcd\xe2\x82"]);
    assert_eq!(kept, [&b"good"[..], "abcdefg\u{fffd}".as_bytes(), "é".as_bytes(), "abcd\u{fffd}".as_bytes()]);
    let counts = tally.counts();
    assert_eq!((counts.documents_in, counts.documents_out), (5, 4));
    assert_eq!((counts.bytes_in, counts.bytes_out), (23, 23));
    assert_eq!(counts.examples[0], "changed file 1, 1 of 8 characters are no text: abcdefg\u{fffd}");
    assert!(counts.examples[1].starts_with("dropped file 2, 3 of 3 characters"), "{:?}", counts.examples);
}

#[test]
fn length_keeps_its_bounds() {
    let (kept, tally) =
        apply(&PipelineStage::Length { min_bytes: 2, max_bytes: Some(3) }, &[b"a", b"ab", b"abc", b"abcd"]);
    assert_eq!(kept, [&b"ab"[..], b"abc"]);
    assert_eq!(tally.counts().bytes_out, 5);
}

#[test]
fn line_filter_cuts_long_lines_and_drops_documents_made_of_them() {
    let stage = PipelineStage::LineFilter { max_line_chars: Some(3), max_dropped_ratio: 0.5 };
    let (kept, _) = apply(&stage, &["aéb\nabcd\nab".as_bytes(), b"abc\r\nab\n", b"abcd\nabcd\nab", b"abcd"]);
    assert_eq!(kept, ["aéb\nab".as_bytes(), b"abc\r\nab\n"]);
    let (kept, _) = apply(&PipelineStage::LineFilter { max_line_chars: Some(3), max_dropped_ratio: 1.0 }, &[b"abcd"]);
    assert!(kept.is_empty(), "a document without lines is none");
}

#[test]
fn exact_dedup_keeps_the_first() {
    let (kept, tally) = apply(&PipelineStage::ExactDedup {}, &[b"a", b"b", b"a", b"a"]);
    assert_eq!(kept, [b"a", b"b"]);
    assert_eq!(
        tally.counts().examples,
        ["dropped file 2, the same text came before: a", "dropped file 3, the same text came before: a"]
    );
}

#[test]
fn examples_are_few_and_short() {
    let long = "word\n\t".repeat(1000);
    let (_, tally) = apply(&PipelineStage::Length { min_bytes: 1 << 20, max_bytes: None }, &[long.as_bytes(); 20]);
    let examples = &tally.counts().examples;
    assert_eq!(examples.len(), 5);
    assert!(examples.iter().all(|example| example.chars().count() < 250 && !example.contains('\n')), "{examples:?}");
}

proptest! {
    #[test]
    fn repaired_text_is_always_text(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let (kept, _) = apply(&PipelineStage::Utf8Repair { max_replaced_ratio: 1.0 }, &[&bytes]);
        prop_assert_eq!(std::str::from_utf8(&kept[0]).unwrap(), String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}"));
    }
}
