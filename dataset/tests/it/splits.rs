//! What is kept back stays back, and every shard is what the manifest says.

use std::{collections::BTreeSet, fs};

use bedplate_tokenizer::TokenShard;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::{Folder, command, prose, spec};

#[test]
fn the_holdout_is_disjoint_and_unseen_by_the_tokenizer() {
    let folder = Folder::with_prose(300);
    // A word that only held-out documents have would become a token if the tokenizer saw them.
    let manifest = folder.make(&spec());
    let (train, holdout) = (folder.documents("train"), folder.documents("holdout"));
    assert_eq!((train.len() as u64, holdout.len() as u64), (manifest.train.documents, manifest.holdout.documents));
    assert!((15..50).contains(&holdout.len()), "{}", holdout.len());
    let train: BTreeSet<String> = train.into_iter().collect();
    assert!(holdout.iter().all(|text| !train.contains(text)));
    let tokenizer = fs::read(folder.output("tokenizer.json")).unwrap();
    let only_train = Folder::new();
    for (index, text) in train.iter().enumerate() {
        only_train.write(&format!("text/{index:04}"), text);
    }
    let mut spec = spec();
    spec["holdout"]["ratio"] = json!(0.0);
    only_train.make(&spec);
    assert!(tokenizer == fs::read(only_train.output("tokenizer.json")).unwrap());
}

#[test]
fn shards_are_what_the_manifest_says() {
    let folder = Folder::with_prose(200);
    let mut spec = spec();
    spec["packing"]["sequenceLength"] = json!(128);
    let manifest = folder.make(&spec);
    for split in [&manifest.train, &manifest.holdout] {
        let (mut sequences, mut tokens) = (0, 0);
        for entry in &split.shards {
            let bytes = fs::read(folder.output(&entry.file)).unwrap();
            let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((bytes.len() as u64, &sha256), (entry.bytes, &entry.sha256));
            let shard = TokenShard::open(folder.output(&entry.file)).unwrap();
            sequences += shard.num_sequences() as u64;
            let (mut row, mut lengths) = (Vec::new(), Vec::new());
            for index in 0..shard.num_sequences() {
                shard.read(index, &mut row, &mut lengths);
                tokens += lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
            }
        }
        assert_eq!((sequences, tokens), (split.sequences, split.tokens));
    }
    let used = manifest.train.tokens as f64 / (manifest.train.sequences * 128) as f64;
    assert!(used > 0.98, "packing fills {used}");
    let stages: Vec<_> = manifest.stages.iter().map(|stage| stage.documents_out).collect();
    assert_eq!(*stages.last().unwrap(), manifest.train.documents + manifest.holdout.documents);
}

#[test]
fn a_split_can_be_dumped_as_text() {
    let folder = Folder::with_prose(100);
    folder.make(&spec());
    let job = folder.job(&spec());
    for split in ["train", "holdout"] {
        let mut dump = command(&job);
        dump.args(["--dump-split", split]);
        let outcome = folder.finish(dump);
        let text = String::from_utf8(outcome.stdout).unwrap();
        let mut documents: Vec<_> = text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect();
        documents.sort();
        assert_eq!(documents, folder.documents(split));
        assert!(outcome.events.is_empty(), "a dump is no run of the job");
    }
}

#[test]
fn a_tokenizer_can_be_loaded() {
    let folder = Folder::with_prose(50);
    folder.make(&spec());
    let tokenizer = fs::read(folder.output("tokenizer.json")).unwrap();
    for uri in ["file:ready", "file:ready/tokenizer.json", "file:renamed.json"] {
        let other = Folder::new();
        other.write("text/a.txt", prose(7, 3000));
        other.write("ready/tokenizer.json", &tokenizer);
        other.write("renamed.json", &tokenizer);
        let mut spec = spec();
        spec["tokenizer"] = json!({ "type": "load", "uri": uri });
        spec["holdout"]["ratio"] = json!(0.0);
        other.make(&spec);
        assert_eq!(other.documents("train"), [prose(7, 3000)]);
        assert!(tokenizer == fs::read(other.output("tokenizer.json")).unwrap());
    }
}
