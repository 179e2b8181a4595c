//! Every format, compression and selection gives the documents that are in it.

use std::{io::Write, sync::Arc};

use bedplate_crds::job::exit::ExitCode::InvalidConfig;
use parquet::{
    basic::{BrotliLevel, Compression},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use serde_json::{Value, json};

use crate::harness::{Folder, prose, spec};

/// A spec that keeps everything in the train split.
pub fn everything(sources: Value) -> Value {
    let mut spec = spec();
    spec["sources"] = sources;
    spec["holdout"]["ratio"] = json!(0.0);
    spec["tokenizer"]["vocabSize"] = json!(300);
    spec
}

fn texts() -> Vec<String> {
    (0..20).map(|index| format!("{} é 漢字 \"quoted\"\n", prose(index, 500))).collect()
}

fn jsonl(texts: &[String]) -> String {
    texts
        .iter()
        .enumerate()
        .map(|(id, text)| json!({ "id": [id], "body": text, "n": null }).to_string() + "\n\n")
        .collect()
}

/// A parquet file with an optional text column, several row groups and small pages.
pub fn parquet_file(texts: &[Option<String>]) -> Vec<u8> {
    compressed_parquet(texts, Compression::UNCOMPRESSED)
}

fn compressed_parquet(texts: &[Option<String>], compression: Compression) -> Vec<u8> {
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let schema = "message m { required int64 id; optional binary body (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for texts in texts.chunks(7) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..texts.len() as i64).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = texts.iter().flatten().map(|text| text.as_str().into()).collect();
        let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A parquet file with one optional column of numbers, some of them missing.
fn numbers(values: &[Option<f64>]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message m { optional double body; }").unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let there: Vec<f64> = values.iter().flatten().copied().collect();
    column.typed::<DoubleType>().write_batch(&there, Some(&levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_format_and_compression_gives_the_same_documents() {
    let mut wanted = texts();
    let json_lines = jsonl(&wanted);
    let rows: Vec<Option<String>> = wanted.iter().cloned().map(Some).collect();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(json_lines.as_bytes()).unwrap();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let utf32 = |text: &str| text.chars().flat_map(|char| u32::from(char).to_be_bytes()).collect::<Vec<u8>>();
    let marked: String = json_lines.lines().map(|line| format!("\u{feff}{line}\r\n")).collect();
    let files = [
        ("jsonl", json_lines.clone().into_bytes()),
        ("jsonl", marked.clone().into_bytes()),
        ("jsonl", utf16(&json_lines)),
        ("jsonl", gzip(&utf16(&marked))),
        ("jsonl", utf32(&json_lines)),
        ("jsonl", bzip2.finish().unwrap()),
        ("parquet", compressed_parquet(&rows, Compression::LZ4)),
        ("parquet", compressed_parquet(&rows, Compression::LZ4_RAW)),
        ("parquet", compressed_parquet(&rows, Compression::BROTLI(BrotliLevel::default()))),
        ("jsonl", gzip(json_lines.as_bytes())),
        ("jsonl", zstd::encode_all(json_lines.as_bytes(), 3).unwrap()),
        ("parquet", parquet_file(&rows)),
    ];
    wanted.sort();
    let mut digests = Vec::new();
    for (format, content) in files {
        let folder = Folder::new();
        folder.write("data", content);
        digests.push(
            folder.make(&everything(json!([{ "uri": "file:data", "format": format, "textField": "body" }]))).digest,
        );
        assert_eq!(folder.documents("train"), wanted, "{format}");
    }
    let folder = Folder::new();
    for (index, text) in texts().iter().enumerate() {
        let marked = format!("\u{feff}{text}");
        let bytes = match index % 5 {
            0 => text.as_bytes().to_vec(),
            1 => gzip(text.as_bytes()),
            2 => marked.into_bytes(),
            3 => utf16(&marked),
            _ => utf32(text),
        };
        folder.write(&format!("text/{index:02}"), bytes);
    }
    digests.push(folder.make(&everything(json!([{ "uri": "file:text" }]))).digest);
    digests.dedup();
    assert_eq!(digests.len(), 1, "the same documents in the same order have the same digest: {digests:?}");
}

#[test]
fn globs_choose_and_sources_keep_their_order() {
    let folder = Folder::new();
    for (path, seed) in [("b/z.txt", 1), ("b/sub/a.md", 2), ("b/sub/a.bin", 3), ("b/tests/a.md", 4), ("a.txt", 5)] {
        folder.write(path, prose(seed, 900));
    }
    let sources = json!([
        { "uri": "file:b", "include": ["**/*.md", "*.txt"], "exclude": ["tests/**"] },
        { "uri": format!("file://{}", folder.input("a.txt").display()) },
    ]);
    let manifest = folder.make(&everything(sources));
    assert_eq!(manifest.stages[0].documents_out, 3);
    let mut wanted = [prose(1, 900), prose(2, 900), prose(5, 900)];
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted);
}

#[test]
fn empty_and_missing_texts_are_counted_as_skipped() {
    let folder = Folder::new();
    let mut rows: Vec<Option<String>> = texts().into_iter().map(Some).collect();
    rows[3] = None;
    rows[9] = Some(String::new());
    folder.write("data.parquet", parquet_file(&rows));
    let source = json!([{ "uri": "file:data.parquet", "format": "parquet", "textField": "body" }]);
    let manifest = folder.make(&everything(source));
    let read = &manifest.stages[0];
    assert_eq!((read.documents_in, read.documents_out), (20, 18));
    assert_eq!(
        read.examples,
        ["left out data.parquet row 4, it is empty", "left out data.parquet row 10, it is empty"]
    );
    assert_eq!(read.left_out, [("empty".to_owned(), 2)].into());
}

#[test]
fn invalid_utf8_is_repaired_and_duplicates_are_dropped_with_counts() {
    let folder = Folder::new();
    folder.write("text/a", prose(1, 2000));
    folder.write("text/b", [prose(2, 2000).as_bytes(), b"\xff tail"].concat());
    folder.write("text/c", prose(1, 2000));
    folder.write("text/d", [0xff; 100]);
    let manifest = folder.make(&everything(json!([{ "uri": "file:text" }])));
    let names: Vec<_> = manifest.stages.iter().map(|stage| (stage.stage.as_str(), stage.documents_out)).collect();
    assert_eq!(names, [("read", 4), ("utf8Repair", 3), ("exactDedup", 2)]);
    assert!(manifest.stages[1].examples[1].starts_with("dropped d, 100 of 100"), "{:?}", manifest.stages[1]);
    assert_eq!(manifest.stages[2].examples.len(), 1);
    let mut wanted = [prose(1, 2000), format!("{}\u{fffd} tail", prose(2, 2000))];
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted);
}

#[test]
fn a_column_of_another_type_is_missing_texts_where_it_is_null_throughout() {
    let folder = Folder::new();
    let rows: Vec<_> = texts().into_iter().map(Some).collect();
    folder.write("in/a.parquet", parquet_file(&rows));
    folder.write("in/b.parquet", numbers(&[None, None, None]));
    let source = json!([{ "uri": "file:in", "format": "parquet", "textField": "body" }]);
    let read = folder.make(&everything(source.clone())).stages.remove(0);
    assert_eq!((read.documents_in, read.documents_out, read.left_out["empty"]), (23, 20, 3));
    folder.write("in/b.parquet", numbers(&[None, Some(1.5), None]));
    folder.run(&everything(source)).assert_refused(
        InvalidConfig,
        &["b.parquet: column body holds no text; its columns are body", "set textField"],
    );
}

#[test]
fn parquet_that_is_whole_but_not_supported_is_called_so() {
    let folder = Folder::new();
    let check = |content: Vec<u8>, words: &[&str]| {
        folder.write("a.parquet", content);
        let source = json!([{ "uri": "file:a.parquet", "format": "parquet", "textField": "body", "onError": "skip" }]);
        folder.run(&everything(source)).assert_refused(InvalidConfig, words);
    };
    let rows: Vec<_> = texts().into_iter().map(Some).collect();
    // No writer here writes LZO: the codec of the column's first description becomes 3 (6 in zigzag).
    let mut lzo = parquet_file(&rows);
    let codec = b"\x18\x04body\x15\x00";
    let at = lzo.windows(codec.len()).position(|window| window == codec).expect("a plain column");
    lzo[at + codec.len() - 1] = 6;
    check(lzo, &["a.parquet: column body is compressed with LZO, which is not supported", "write it again with zstd"]);
    let mut encrypted = parquet_file(&rows);
    let end = encrypted.len() - 4;
    encrypted[..4].copy_from_slice(b"PARE");
    encrypted[end..].copy_from_slice(b"PARE");
    check(encrypted, &["a.parquet: it is encrypted", "write it again without encryption"]);
}
