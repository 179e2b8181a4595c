//! Broken lines and damaged files: the end of a Dataset, or skipped within a bound, counted and shown.

use std::fs;

use bedplate_crds::job::exit::ExitCode::InvalidConfig;
use serde_json::{Value, json};

use crate::{
    formats::{everything, gzip, parquet_file},
    harness::{Folder, command, prose},
};

fn lines(seeds: std::ops::Range<u64>) -> String {
    seeds.map(|seed| json!({ "text": prose(seed, 500) }).to_string() + "\n").collect()
}

fn jsonl(fields: &Value) -> Value {
    let mut source = json!({ "uri": "file:in", "format": "jsonl" });
    for (name, value) in fields.as_object().unwrap() {
        source[name] = value.clone();
    }
    everything(json!([source]))
}

#[test]
fn a_torn_last_line_is_the_end_or_one_of_a_count() {
    let folder = Folder::new();
    folder.write("in/a.jsonl", lines(0..30));
    let whole = folder.make(&jsonl(&json!({}))).digest;
    folder.write("in/a.jsonl", lines(0..30) + "{\"text\":\"and so it en");
    folder.run(&jsonl(&json!({}))).assert_refused(
        InvalidConfig,
        &["a.jsonl line 31", "not a JSON object", "mend or remove the line", "onError: skip"],
    );
    let mut manifests = Vec::new();
    for threads in [1, 4] {
        let job = folder.job_with(&jsonl(&json!({ "onError": "skip" })), &json!({ "threads": threads }));
        fs::remove_dir_all(folder.output("")).unwrap();
        let outcome = folder.finish(command(&job));
        assert_eq!(outcome.failed(), "");
        let told = outcome.events.iter().rfind(|event| event["stage"] == "read" && event["done"] == true).unwrap();
        assert_eq!(told["leftOut"], json!({ "broken line": 1 }));
        manifests.push(fs::read_to_string(folder.output("manifest.json")).unwrap());
    }
    assert_eq!(manifests[0], manifests[1]);
    let manifest = folder.manifest();
    let read = &manifest.stages[0];
    assert_eq!((read.documents_in, read.documents_out, read.left_out["broken line"]), (31, 30, 1));
    let example = "left out a.jsonl line 31, it is a broken line: a.jsonl line 31: not a JSON object";
    assert!(read.examples[0].starts_with(example), "{:?}", read.examples);
    assert_eq!(manifest.digest, whole, "the other lines are what they were");
}

#[test]
fn more_errors_than_allowed_are_refused_with_the_last_one() {
    let folder = Folder::new();
    folder.write("in/a.jsonl", format!("{}nonsense\n{{\"text\":1}}\n{{\"body\":\"a\"}}\n", lines(0..20)));
    let spec = |most: u64| jsonl(&json!({ "onError": "skip", "maxErrors": most }));
    folder.run(&spec(2)).assert_refused(
        InvalidConfig,
        &["spec.sources[0].maxErrors: more than 2", "a.jsonl line 23", "no field text", "raise maxErrors"],
    );
    assert_eq!(folder.make(&spec(3)).stages[0].left_out["broken line"], 3);
    folder.write("in/b.jsonl", "nonsense\n".repeat(101));
    folder
        .run(&jsonl(&json!({ "onError": "skip" })))
        .assert_refused(InvalidConfig, &["more than 100", "b.jsonl line 98"]);
    folder
        .run(&jsonl(&json!({ "maxErrors": 3 })))
        .assert_refused(InvalidConfig, &["spec.sources[0].maxErrors: 3", "onError: skip"]);
    folder.run(&spec(0)).assert_refused(InvalidConfig, &["spec.sources[0].maxErrors: 0", "at least 1"]);
}

#[test]
fn a_torn_file_gives_what_lies_in_front_of_the_tear() {
    let text = lines(0..400);
    let whole = gzip(text.as_bytes());
    let rows: Vec<_> = (0..20).map(|seed| Some(prose(seed, 500))).collect();
    let parquet = parquet_file(&rows);
    let folder = Folder::new();
    folder.write("in/a.jsonl", lines(1000..1010));
    folder.write("in/b.jsonl.gz", &whole[..whole.len() - whole.len() / 4]);
    folder.run(&jsonl(&json!({}))).assert_refused(InvalidConfig, &["cannot read b.jsonl.gz", "that it is whole"]);
    let read = folder.make(&jsonl(&json!({ "onError": "skip" }))).stages.remove(0);
    assert_eq!(read.left_out, [("damaged file".to_owned(), 1)].into());
    assert!(read.documents_out > 200 && read.documents_out < 410, "{read:?}");
    let folder = Folder::new();
    folder.write("in/a.parquet", &parquet);
    folder.write("in/b.parquet", &parquet[..parquet.len() - 9]);
    let mut source = json!({ "uri": "file:in", "format": "parquet", "textField": "body" });
    let refused = folder.run(&everything(json!([source])));
    refused.assert_refused(InvalidConfig, &["b.parquet: not a whole parquet file", "fetch it again"]);
    source["onError"] = json!("skip");
    let read = folder.make(&everything(json!([source]))).stages.remove(0);
    assert_eq!((read.documents_out, read.left_out), (20, [("damaged file".to_owned(), 1)].into()));
}

#[test]
fn bytes_and_surrogates_that_are_no_text_are_mended_or_refused_in_every_format() {
    // On one line: a line end within a JSON text has to be escaped.
    let body = prose(1, 900).replace('\n', " ");
    let surrogate = format!("{{\"text\":\"{body} \\ud83d and on\"}}\n");
    let stray = [format!("{{\"text\":\"{body}").as_bytes(), b"\xe9 and on\"}\n"].concat();
    let nul = format!("{{\"text\":\"{body} \\u0000 and on\"}}\n");
    let folder = Folder::new();
    folder.write("in/a.jsonl", [surrogate.as_bytes(), &stray, nul.as_bytes()].concat());
    let mut spec = jsonl(&json!({}));
    spec["tokenizer"]["vocabSize"] = json!(270);
    let manifest = folder.make(&spec);
    let mut wanted = ["{} \u{fffd} and on", "{}\u{fffd} and on"].map(|text| text.replace("{}", &body)).to_vec();
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted, "the third is the first again");
    assert_eq!(manifest.stages[1].documents_out, 3);
    let refusals = [
        (surrogate.into_bytes(), "a.jsonl line 1 is not valid UTF-8 at byte"),
        (stray, "a.jsonl line 1 is not valid UTF-8 at byte"),
        (nul.into_bytes(), "a.jsonl line 1 holds a NUL at byte"),
    ];
    for (line, problem) in refusals {
        folder.write("in/a.jsonl", line);
        let mut spec = jsonl(&json!({}));
        spec["pipeline"] = json!([]);
        folder.run(&spec).assert_refused(InvalidConfig, &[problem, "put {type: utf8Repair} first"]);
    }
}

#[test]
fn a_number_that_is_none_is_a_missing_text_and_no_error_elsewhere() {
    let folder = Folder::new();
    let text = |seed| json!(prose(seed, 900));
    folder.write(
        "in/a.jsonl",
        format!(
            "{{\"score\":NaN,\"text\":{}}}\n{{\"text\":NaN}}\n{{\"text\":null}}\n{{\"text\":{},\"of\":[Infinity,-Infinity]}}\n",
            text(1),
            text(2)
        ),
    );
    let read = folder.make(&jsonl(&json!({}))).stages.remove(0);
    assert_eq!((read.documents_in, read.documents_out, read.left_out["empty"]), (4, 2, 2));
    let mut wanted = [prose(1, 900), prose(2, 900)];
    wanted.sort();
    assert_eq!(folder.documents("train"), wanted);
}
