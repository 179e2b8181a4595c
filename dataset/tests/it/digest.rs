//! The same text gives the same bytes: twice, on any number of threads, in any folder.

use std::{fs, time::SystemTime};

use serde_json::json;

use crate::harness::{Folder, command, spec};

#[test]
fn neither_threads_nor_paths_nor_times_change_a_byte() {
    let mut outputs = Vec::new();
    for threads in [1, 4, 2] {
        let folder = Folder::with_prose(300);
        if threads == 4 {
            fs::rename(folder.input("text"), folder.input("elsewhere")).unwrap();
            for entry in fs::read_dir(folder.input("elsewhere/part-0")).unwrap() {
                let file = fs::File::options().append(true).open(entry.unwrap().path()).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        }
        let mut spec = spec();
        if threads == 4 {
            spec["sources"][0]["uri"] = json!("file:elsewhere");
        }
        let job = folder.job_with(&spec, &json!({ "threads": threads }));
        let outcome = folder.finish(command(&job));
        assert!(outcome.exit.is_some_and(|exit| exit.code() == 0), "{}", outcome.stderr);
        let manifest = fs::read_to_string(folder.output("manifest.json")).unwrap();
        let tokenizer = fs::read(folder.output("tokenizer.json")).unwrap();
        outputs.push((manifest, tokenizer));
    }
    let (first, rest) = outputs.split_first().unwrap();
    assert!(rest.iter().all(|other| other == first), "manifest and tokenizer are the same, byte for byte");
}

#[test]
fn the_digest_follows_text_and_packing() {
    let folder = Folder::with_prose(60);
    let mut digests = vec![folder.make(&spec()).digest];
    folder.write("text/part-1/0001.txt", crate::harness::prose(1, 500) + "x");
    digests.push(folder.make(&spec()).digest);
    let mut other = spec();
    other["packing"]["documentMask"] = json!(false);
    digests.push(folder.make(&other).digest);
    other["packing"]["sequenceLength"] = json!(1024);
    digests.push(folder.make(&other).digest);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 4);
}
