//! Memory stays bounded, whatever the corpus.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
};

use bedplate_dataset::MEMORY_BOUND_BYTES;
use serde_json::json;

use crate::harness::{Folder, Running, command, prose, spec, wait_for};

/// Several times what `bedplate-dataset` may use.
const CORPUS_BYTES: u64 = 300 << 20;
/// A tokenizer that splits at spaces is quick, and its tokens are many.
const SPLITTER: &str = r#"{"version":"1.0","truncation":null,"padding":null,
    "added_tokens":[{"id":0,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
    "normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":null,
    "model":{"type":"WordLevel","vocab":{"<|endoftext|>":0,"<unk>":1},"unk_token":"<unk>"}}"#;

#[test]
fn a_corpus_larger_than_the_bound_is_read_within_it() {
    let folder = Folder::new();
    folder.write("tokenizer.json", SPLITTER);
    let text = prose(1, 64 << 10).replace(' ', "");
    let mut file = BufWriter::new(File::create(folder.input("corpus.jsonl")).unwrap());
    let mut written = 0;
    // Documents from a few hundred bytes to a few that are larger than the limit.
    for index in 0_u64.. {
        let repeats = if index % 1500 == 700 { 400 } else { 1 };
        let document = json!({ "text": format!("{index} {}", text.repeat(repeats)) }).to_string();
        written += document.len() as u64;
        writeln!(file, "{document}").unwrap();
        if written > CORPUS_BYTES {
            break;
        }
    }
    file.flush().unwrap();
    let mut spec = spec();
    spec["sources"][0] = json!({ "uri": "file:corpus.jsonl", "format": "jsonl" });
    spec["tokenizer"] = json!({ "type": "load", "uri": "file:tokenizer.json" });
    let mut child = Running(command(&folder.job(&spec)).spawn().unwrap());
    let mut peak = 0;
    wait_for("the end of the run", || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = kilobytes.map_or(peak, |kilobytes| peak.max(kilobytes << 10));
        child.0.try_wait().unwrap().is_some()
    });
    assert!(child.0.wait().unwrap().success());
    let read = folder.manifest().stages.remove(0);
    assert!(read.bytes_in > CORPUS_BYTES * 9 / 10 && read.documents_out < read.documents_in, "{read:?}");
    assert!(read.examples[0].contains("larger than 16 MiB"), "{read:?}");
    assert!(peak > 0 && peak < MEMORY_BOUND_BYTES, "peak of {} MiB", peak >> 20);
    println!("peak {} MiB for {} MiB of text", peak >> 20, read.bytes_in >> 20);
}
