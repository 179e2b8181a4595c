//! A second run does only what has to be done again.

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{Folder, spec};

const ALL: [&str; 6] = ["read", "utf8Repair", "exactDedup", "tokenizer", "tokenize", "pack"];

#[test]
fn an_identical_run_is_skipped_whole_even_when_times_moved() {
    let folder = Folder::with_prose(60);
    let first = folder.make(&spec());
    let second = folder.run(&spec());
    assert_eq!(second.cached(), ALL);
    assert_eq!(second.events.last().unwrap()["digest"], first.digest);
    let path = folder.input("text/part-0/0000.txt");
    let content = fs::read(&path).unwrap();
    fs::write(&path, content).unwrap();
    assert_eq!(folder.run(&spec()).cached(), ALL);
    assert_eq!(folder.manifest(), first);
}

#[test]
fn a_change_repeats_only_what_depends_on_it() {
    let folder = Folder::with_prose(60);
    folder.make(&spec());
    let mut packing = spec();
    packing["packing"]["sequenceLength"] = json!(512);
    assert_eq!(folder.run(&packing).cached(), ALL[..5]);
    let mut tokenizer = packing.clone();
    tokenizer["tokenizer"]["vocabSize"] = json!(320);
    assert_eq!(folder.run(&tokenizer).cached(), ALL[..3]);
    folder.write("text/part-2/0002.txt", "another text");
    let outcome = folder.run(&tokenizer);
    assert!(outcome.cached().is_empty(), "{:?}", outcome.cached());
    let shards = fs::read_dir(folder.output(""))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "tokens"));
    let manifest = folder.manifest();
    assert_eq!(shards.count(), manifest.train.shards.len() + manifest.holdout.shards.len(), "outdated shards are gone");
}

#[test]
fn a_file_of_the_same_size_and_time_with_other_content_is_noticed() {
    let folder = Folder::with_prose(20);
    let before = folder.make(&spec());
    let path = folder.input("text/part-0/0000.txt");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut content = fs::read(&path).unwrap();
    content[0] = b'X';
    fs::write(&path, content).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(folder.make(&spec()).digest, before.digest);
}

#[test]
fn damage_to_anything_that_is_kept_is_repaired() {
    let folder = Folder::with_prose(40);
    let wanted = folder.make(&spec());
    let mut paths = Vec::new();
    files(&folder.output(""), &mut paths);
    assert!(paths.len() >= 9, "{paths:?}");
    for path in paths {
        let whole = fs::read(&path).unwrap();
        if whole.is_empty() {
            continue;
        }
        // Without the manifest every kept file is needed.
        for with_manifest in [true, false] {
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 0x11;
            fs::write(&path, damaged).unwrap();
            if !with_manifest {
                let _ = fs::remove_file(folder.output("manifest.json"));
            }
            assert_eq!(folder.make(&spec()).digest, wanted.digest, "{} damaged", path.display());
        }
        let _ = fs::remove_file(&path);
        assert_eq!(folder.make(&spec()), wanted, "{} removed", path.display());
    }
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn an_output_folder_inside_a_source_is_not_read() {
    let folder = Folder::with_prose(20);
    let mut spec = spec();
    spec["sources"][0] =
        json!({ "uri": format!("file://{}", folder.path().display()), "include": ["in/**", "out/**"] });
    let first = folder.make(&spec);
    assert_eq!(first.stages[0].documents_in, 20);
    assert_eq!(folder.run(&spec).cached(), ALL);
}
