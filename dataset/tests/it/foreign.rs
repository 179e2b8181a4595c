//! What lies in folders of text and is none: left out by name with a count, refused where a source names it.

use std::{fs, io::Write};

use bedplate_crds::job::{exit::ExitCode::InvalidConfig, manifest::DatasetManifest};
use serde_json::{Value, json};

use crate::{
    formats::{everything, gzip, parquet_file},
    harness::{Folder, prose},
};

const POINTER: &str = "version https://git-lfs.example/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to go on</body></html>\n";

/// One entry of a tar archive, with its padding.
fn tar(name: &str, content: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[257..262].copy_from_slice(b"ustar");
    let padding = vec![0; content.len().next_multiple_of(512) - content.len() + 1024];
    [&header[..], content.as_bytes(), &padding].concat()
}

fn zip(entry: &str) -> Vec<u8> {
    [b"PK\x03\x04".as_slice(), &[0; 26], entry.as_bytes(), prose(1, 600).as_bytes()].concat()
}

/// Name, content, what it is called and what to do about it.
fn foreign() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let archive = tar("a.txt", &prose(1, 700));
    vec![
        ("docs.tar", archive.clone(), "tar archive", "unpack it"),
        ("docs.tar.gz", gzip(&archive), "tar archive", "unpack it"),
        ("docs.tar.zst", zstd::encode_all(&archive[..], 1).unwrap(), "tar archive", "unpack it"),
        ("docs.zip", zip("docs/a.txt"), "zip archive", "unpack it"),
        ("docs.7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "7z archive", "unpack it"),
        ("docs.rar", b"Rar!\x1a\x07\x01\0".to_vec(), "rar archive", "unpack it"),
        ("twice.gz.gz", gzip(&gzip(b"some text")), "compressed file", "decompress it"),
        ("paper.txt", format!("%PDF-1.7\n{}", prose(2, 500)).into_bytes(), "PDF", "save its text"),
        ("thesis.docx", zip("[Content_Types].xml"), "office file", "save its text"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0".to_vec(), "office file", "save its text"),
        ("logo.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "image", "name files of text"),
        ("tool", b"\x7fELF\x02\x01\x01\0".to_vec(), "executable", "name files of text"),
        ("rows.parquet", parquet_file(&[Some("a".to_owned())]), "parquet file", "format: parquet"),
        ("weights.txt", POINTER.into(), "git-lfs pointer", "git lfs pull"),
        ("resource", b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ".to_vec(), "macOS resource file", "name files of text"),
        ("download.txt", PAGE.into(), "HTML page", "extract its text"),
        ("table.dat", [prose(3, 300).as_bytes(), b"\0\x01\x02"].concat(), "binary data", "name files of text"),
    ]
}

fn counts(manifest: &DatasetManifest) -> Value {
    json!(manifest.stages[0].left_out)
}

#[test]
fn a_folder_gives_its_text_and_counts_the_rest_by_name() {
    let folder = Folder::new();
    let mut wanted = vec![prose(1, 900), prose(2, 900), PAGE.to_owned()];
    folder.write("in/a.txt", &wanted[0]);
    folder.write("in/deep/b.md", &wanted[1]);
    folder.write("in/page.html", PAGE);
    for (name, content, _, _) in foreign() {
        folder.write(&format!("in/assets/{name}"), content);
    }
    let beside = [
        ".git/config",
        ".git/objects/ab",
        ".DS_Store",
        "deep/._b.md",
        "__MACOSX/a.txt",
        ".github/ci.yml",
        ".gitattributes",
        "_SUCCESS",
        "_committed_17",
        ".part-0.crc",
        "part-0.crc",
    ];
    for name in beside {
        folder.write(&format!("in/{name}"), "no text of ours");
    }
    let outcome = folder.run(&everything(json!([{ "uri": "file:in" }])));
    assert_eq!(outcome.failed(), "");
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted);
    let manifest = folder.manifest();
    let expected = json!({
        "tar archive": 3, "zip archive": 1, "7z archive": 1, "rar archive": 1, "compressed file": 1, "PDF": 1,
        "office file": 2, "image": 1, "executable": 1, "parquet file": 1, "git-lfs pointer": 1, "HTML page": 1,
        "binary data": 1, "macOS resource file": 4, "file of a .git folder": 2, "hidden file": 2, "job marker": 2,
        "checksum file": 2,
    });
    assert_eq!(counts(&manifest), expected);
    let read = &manifest.stages[0];
    assert_eq!((read.documents_in, read.documents_out), (20, 3), "what has no name of its own was looked into");
    let told = outcome.events.iter().rfind(|event| event["stage"] == "read" && event["done"] == true).unwrap();
    assert_eq!(told["leftOut"], expected, "progress tells the same");
    let example = "left out .gitattributes, it is a hidden file";
    assert!(read.examples.iter().any(|text| text == example), "{:?}", read.examples);
    assert!(
        read.examples.iter().any(|text| text == "left out assets/docs.7z, it is a 7z archive"),
        "{:?}",
        read.examples
    );
}

#[test]
fn what_a_source_names_itself_is_refused_with_its_name_and_the_way_out() {
    let folder = Folder::new();
    for (name, content, kind, remedy) in foreign() {
        folder.write(name, content);
        for format in ["text", "jsonl"] {
            let spec = everything(json!([{ "uri": format!("file:{name}"), "format": format, "onError": "skip" }]));
            folder.run(&spec).assert_refused(InvalidConfig, &[name, &format!(" {kind};"), remedy]);
        }
    }
    folder.write("repository/.git/config", "[core]");
    folder
        .run(&everything(json!([{ "uri": "file:repository/.git" }])))
        .assert_refused(InvalidConfig, &["spec.sources[0].uri", "git's own folder", "name the folder"]);
    folder.write("README.md", prose(1, 500));
    folder
        .run(&everything(json!([{ "uri": "file:README.md", "format": "parquet" }])))
        .assert_refused(InvalidConfig, &["README.md is no parquet file", "name parquet files"]);
}

#[test]
fn a_folder_without_any_text_says_what_it_holds() {
    let folder = Folder::new();
    folder.write("in/docs.tar", tar("a.txt", "text"));
    folder.write("in/.env", "text");
    folder.run(&everything(json!([{ "uri": "file:in" }]))).assert_refused(
        InvalidConfig,
        &["left out hidden file: 1", "left out tar archive: 1", "name sources that hold text"],
    );
    fs::remove_file(folder.input("in/docs.tar")).unwrap();
    folder
        .run(&everything(json!([{ "uri": "file:in" }])))
        .assert_refused(InvalidConfig, &["holds 1 files, but none matches (left out as hidden files", "widen include"]);
}

#[test]
fn hidden_files_and_html_are_text_where_they_are_asked_for() {
    let folder = Folder::new();
    folder.write("in/.github/ci.yml", prose(1, 800));
    folder.write("in/page", PAGE);
    folder.write("in/.gitattributes", "text");
    let include = json!(["**/*.html", "**/page", "**/.github/**"]);
    let manifest = folder.make(&everything(json!([{ "uri": "file:in", "include": include }])));
    assert_eq!(counts(&manifest), json!({}));
    let mut wanted = [prose(1, 800), PAGE.to_owned()];
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted);
    folder.write("named/.env", prose(2, 900));
    folder.make(&everything(json!([{ "uri": "file:named/.env" }])));
    assert_eq!(folder.documents("train"), [prose(2, 900)]);
}

#[test]
fn a_new_file_beside_the_data_is_counted_though_no_text_changed() {
    let folder = Folder::new();
    folder.write("in/a.txt", prose(1, 900));
    let spec = everything(json!([{ "uri": "file:in" }]));
    let before = folder.make(&spec);
    folder.write("in/_SUCCESS", "");
    let after = folder.make(&spec);
    assert_eq!((counts(&before), counts(&after)), (json!({}), json!({ "job marker": 1 })));
    assert_eq!(before.digest, after.digest);
}

#[test]
fn what_lies_in_the_place_of_data_is_an_error_that_can_be_skipped() {
    let rows: Vec<_> = (0..20).map(|seed| Some(prose(seed, 500))).collect();
    let lines: String = rows.iter().flatten().map(|text| json!({ "body": text }).to_string() + "\n").collect();
    for (format, good) in [("jsonl", lines.into_bytes()), ("parquet", parquet_file(&rows))] {
        for (stand_in, kind) in [(POINTER, "git-lfs pointer"), (PAGE, "HTML page")] {
            let folder = Folder::new();
            folder.write(&format!("in/a.{format}"), &good);
            folder.write(&format!("in/b.{format}"), stand_in);
            folder.write("in/logo.png", b"\x89PNG\r\n\x1a\n\0");
            let source = json!({ "uri": "file:in", "format": format, "textField": "body" });
            let refused = folder.run(&everything(json!([source])));
            refused.assert_refused(InvalidConfig, &[&format!("b.{format} is a"), kind]);
            let mut source = source;
            source["onError"] = json!("skip");
            let manifest = folder.make(&everything(json!([source])));
            assert_eq!(counts(&manifest), json!({ kind: 1, "image": 1 }));
            assert_eq!(manifest.stages[0].documents_out, 20);
        }
    }
}

#[test]
fn a_parquet_folder_may_hold_its_description() {
    let folder = Folder::new();
    let rows: Vec<_> = (0..20).map(|seed| Some(prose(seed, 500))).collect();
    folder.write("in/train.parquet", parquet_file(&rows));
    folder.write("in/README.md", prose(1, 300));
    folder.write("in/_metadata", "PAR1");
    let manifest = folder.make(&everything(json!([{ "uri": "file:in", "format": "parquet", "textField": "body" }])));
    assert_eq!(counts(&manifest), json!({ "no parquet file": 1, "job marker": 1 }));
    let mut torn = fs::File::create(folder.input("in/torn.parquet")).unwrap();
    torn.write_all(b"Not Found").unwrap();
    folder
        .run(&everything(json!([{ "uri": "file:in", "format": "parquet", "textField": "body" }])))
        .assert_refused(InvalidConfig, &["torn.parquet", "not a whole parquet file", "fetch it again"]);
}
