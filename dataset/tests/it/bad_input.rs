//! Each mistake gets one clear line that names the field or the file, and the remedy.

use std::{fs, process::Command};

use bedplate_crds::job::exit::ExitCode::{InvalidConfig, StorageFailed};
use serde_json::{Value, json};

use crate::{
    formats::parquet_file,
    harness::{Folder, prose, spec},
};

fn with(path: &str, value: Value) -> Value {
    let mut spec = spec();
    *spec.pointer_mut(path).unwrap() = value;
    spec
}

fn source(source: Value) -> Value {
    with("/sources/0", source)
}

#[test]
fn sources_that_hold_nothing() {
    let folder = Folder::with_prose(3);
    fs::create_dir(folder.input("empty")).unwrap();
    folder.run(&source(json!({ "uri": "file:nowhere" }))).assert_refused(
        InvalidConfig,
        &["spec.sources[0].uri", "/in/nowhere does not exist", "relative paths start at"],
    );
    folder
        .run(&source(json!({ "uri": "file:text", "include": ["*.rs"] })))
        .assert_refused(InvalidConfig, &["spec.sources[0]", "holds 3 files, but none matches", "widen include"]);
    folder.run(&source(json!({ "uri": "file:empty" }))).assert_refused(InvalidConfig, &["holds 0 files"]);
    folder
        .run(&source(json!({ "uri": "file:text", "include": ["[a"] })))
        .assert_refused(InvalidConfig, &["spec.sources[0].include[0]"]);
    folder.run(&source(json!({ "uri": "ftp://x/y" }))).assert_refused(InvalidConfig, &["spec.sources[0].uri", "s3://"]);
    folder.run(&with("/sources", json!([]))).assert_refused(InvalidConfig, &["spec.sources", "name at least one"]);
}

#[test]
fn nothing_left_names_the_stage_that_dropped_everything() {
    let folder = Folder::with_prose(30);
    let pipeline =
        json!([{ "type": "utf8Repair" }, { "type": "length", "minBytes": 100_000 }, { "type": "exactDedup" }]);
    folder.run(&with("/pipeline", pipeline)).assert_refused(
        InvalidConfig,
        &["spec.pipeline[1] length", "read 30 -> 30, utf8Repair 30 -> 30, length 30 -> 0", "loosen this stage"],
    );
    folder.write("blank/a.txt", "");
    folder.run(&source(json!({ "uri": "file:blank" }))).assert_refused(InvalidConfig, &["after read (read 1 -> 0"]);
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let folder = Folder::new();
    folder.write("broken.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"b\"\n");
    folder.write("other.jsonl", "{\"text\":\"a\"}\n{\"body\":\"b\",\"id\":1}\n");
    folder.write("typed.jsonl", "{\"text\":5}\n");
    folder.write("a.parquet", parquet_file(&[Some("a".to_owned())]));
    folder.write("cut.parquet", &parquet_file(&[Some("a".to_owned())])[..60]);
    folder.write("cut.gz", [0x1f, 0x8b, 8, 0, 0, 0]);
    folder.write("latin.txt", b"caf\xe9 au lait");
    let check = |file: &str, format: &str, words: &[&str]| {
        let source = source(json!({ "uri": format!("file:{file}"), "format": format }));
        folder.run(&source).assert_refused(InvalidConfig, words);
    };
    check("broken.jsonl", "jsonl", &["broken.jsonl line 3", "not a JSON object", "mend or remove the line"]);
    check("other.jsonl", "jsonl", &["other.jsonl line 2", "it has body, id", "textField"]);
    check("typed.jsonl", "jsonl", &["typed.jsonl line 1", "textField"]);
    check("a.parquet", "parquet", &["a.parquet", "no column text", "its columns are id, body", "textField"]);
    check("cut.parquet", "parquet", &["cut.parquet", "not a whole parquet file"]);
    check("cut.gz", "text", &["cannot read cut.gz", "that it is whole"]);
    let mut spec = source(json!({ "uri": "file:latin.txt" }));
    spec["pipeline"] = json!([]);
    folder.run(&spec).assert_refused(InvalidConfig, &["latin.txt is not valid UTF-8 at byte 3", "utf8Repair"]);
    let column = source(json!({ "uri": "file:a.parquet", "format": "parquet", "textField": "id" }));
    folder.run(&column).assert_refused(InvalidConfig, &["column id holds no text", "those with text: body"]);
}

#[test]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_prose(3);
    let path = folder.input("text/part-1/0001.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        // Whoever runs the tests as root may read everything; a folder in the place of the file is then unreadable.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        folder.write("text/socket", "");
        let swapped = folder.input("text/socket");
        fs::remove_file(&swapped).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&swapped).unwrap();
        assert_eq!(folder.make(&spec_of_one_split()).stages[0].documents_in, 3, "a socket is no file");
        return;
    }
    folder.run(&spec()).assert_refused(InvalidConfig, &["cannot read part-1/0001.txt", "permissions"]);
}

fn spec_of_one_split() -> Value {
    let mut spec = with("/holdout/ratio", json!(0.0));
    spec["tokenizer"]["vocabSize"] = json!(270);
    spec
}

#[test]
fn fields_that_cannot_be() {
    let folder = Folder::with_prose(30);
    let refusals = [
        ("/packing/sequenceLength", json!(1), "spec.packing.sequenceLength: 1", "from 2 to 1048576"),
        ("/holdout/ratio", json!(0.9), "spec.holdout.ratio: 0.9", "from 0 to 0.5"),
        ("/tokenizer/vocabSize", json!(100), "spec.tokenizer.vocabSize: 100", "at least 257"),
        (
            "/tokenizer/vocabSize",
            json!(60_000),
            "spec.tokenizer.vocabSize: the text gives only",
            "lower vocabSize to at most",
        ),
        (
            "/pipeline/0",
            json!({ "type": "utf8Repair", "maxReplacedRatio": 2.0 }),
            "spec.pipeline[0].maxReplacedRatio: 2",
            "from 0 to 1",
        ),
        (
            "/pipeline/0",
            json!({ "type": "length", "minBytes": 9, "maxBytes": 3 }),
            "spec.pipeline[0].maxBytes: 3",
            "at least minBytes",
        ),
        (
            "/tokenizer",
            json!({ "type": "load", "uri": "file:none" }),
            "spec.tokenizer.uri: there is no",
            "name a tokenizer.json",
        ),
        ("/tokenizer", json!({ "type": "load", "uri": "none" }), "spec.tokenizer.uri: none", "hf://owner/repository"),
    ];
    for (path, value, field, remedy) in refusals {
        folder.run(&with(path, value)).assert_refused(InvalidConfig, &[field, remedy]);
    }
}

#[test]
fn the_vocabulary_it_names_is_the_largest_that_works() {
    let folder = Folder::with_prose(30);
    let outcome = folder.run(&with("/tokenizer/vocabSize", json!(60_000)));
    let largest: u32 = outcome.failed().split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert_eq!(folder.make(&with("/tokenizer/vocabSize", json!(largest))).vocab_size, largest);
}

#[test]
fn everything_held_out_is_refused() {
    let folder = Folder::new();
    let held_out = (0_u64..).find(|&seed| {
        let digest = blake3::hash(prose(seed, 3000).as_bytes());
        u64::from_le_bytes(*digest.as_bytes()[24..].first_chunk().unwrap()) < u64::MAX / 2
    });
    folder.write("text/a.txt", prose(held_out.unwrap(), 3000));
    folder
        .run(&with("/holdout/ratio", json!(0.5)))
        .assert_refused(InvalidConfig, &["spec.holdout.ratio", "lower the ratio"]);
}

#[test]
fn a_job_file_that_is_none() {
    let folder = Folder::new();
    let path = folder.job(&json!({ "sources": [], "unknown": 1 }));
    let outcome = folder.finish(crate::harness::command(&path));
    assert_eq!(outcome.exit, Some(InvalidConfig));
    assert!(
        outcome.stderr.contains("job.json is no Dataset job file") && outcome.stderr.contains("unknown"),
        "{}",
        outcome.stderr
    );
    let outcome = folder.finish(crate::harness::command(&folder.path().join("none.json")));
    assert_eq!(outcome.exit, Some(InvalidConfig));
    assert!(outcome.stderr.contains("cannot read the job file"), "{}", outcome.stderr);
}

#[test]
fn a_full_disk_is_told_from_everything_else() {
    let folder = Folder::new();
    for index in 0..20 {
        folder.write(&format!("text/{index}.txt"), prose(index, 100_000));
    }
    // A limit on the size of files stands for the full disk: the write fails in the same place.
    let job = folder.job(&spec());
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" --config \"$1\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_bedplate-dataset")]).arg(&job);
    folder.finish(limited).assert_refused(StorageFailed, &["cannot write", ".stages/clean", "is the disk full?"]);
    assert!(!folder.output("manifest.json").exists());
    folder.make(&spec());
    let job = folder.job_with(&spec(), &json!({ "progressFile": "/dev/full" }));
    let outcome = folder.finish(crate::harness::command(&job));
    assert_eq!(outcome.exit, Some(StorageFailed));
    assert!(outcome.stderr.contains("is the disk full?"), "{}", outcome.stderr);
}
