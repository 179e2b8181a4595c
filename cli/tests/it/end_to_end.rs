//! The whole thread with the real workers on a tiny corpus: text in, a trained model's words out; stopped and resumed.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::scratch::{Scratch, Told, signal};

/// The workers that this test starts.
const WORKERS: [&str; 3] = ["bedplate-dataset", "bedplate-trainer", "bedplate-inference"];

const MANIFESTS: &str = r#"
apiVersion: bedplate.dev/v1alpha1
kind: Dataset
metadata: { name: sources }
spec:
  sources: [{ uri: 'file:corpus', include: ['**/*.rs'] }]
  pipeline: [{ type: utf8Repair }, { type: length, minBytes: 64 }, { type: exactDedup }]
  tokenizer: { type: train, vocabSize: 400 }
  packing: { sequenceLength: 64 }
  holdout: { ratio: 0.1 }
---
apiVersion: bedplate.dev/v1alpha1
kind: TrainingJob
metadata: { name: tiny }
spec:
  model:
    type: config
    config: { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 }
  data: [{ dataset: sources }]
  schedule: { maxSteps: 120, globalBatchSize: 4, microBatchSize: 2, learningRate: 0.003, warmupSteps: 5 }
  checkpoint: { everySteps: 50 }
  evaluation: { maxSequences: 8 }
---
apiVersion: bedplate.dev/v1alpha1
kind: ModelDeployment
metadata: { name: tiny }
spec:
  model: { type: trainingJob, name: tiny }
"#;

/// A folder with the command line's own sources as corpus.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("all.yaml", MANIFESTS);
    std::fs::remove_dir_all(scratch.path().join("corpus")).expect("the folder of the other tests");
    copy_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &scratch, "corpus");
    scratch
}

fn copy_sources(from: &Path, scratch: &Scratch, to: &str) {
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let name = format!("{to}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            copy_sources(&entry.path(), scratch, &name);
        } else {
            scratch.write(&name, &std::fs::read_to_string(entry.path()).expect("text"));
        }
    }
}

/// The folder of the workers that cargo built.
fn workers() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_bedplate")).parent().expect("a program lies in a folder").to_path_buf();
    for worker in WORKERS {
        assert!(
            folder.join(worker).exists(),
            "{worker} is not in {}: `cargo test --workspace` builds it, and so does `cargo build --package {worker}`",
            folder.display()
        );
    }
    folder
}

fn command(scratch: &Scratch, more: &[&str]) -> std::process::Command {
    let mut command = scratch.command(&[&["run", "all.yaml", "--no-history", "--port", "0", "--once"], more].concat());
    command.env("BEDPLATE_BIN_DIR", workers());
    command
}

fn run(scratch: &Scratch, more: &[&str]) -> Told {
    Told::from(command(scratch, more).output().expect("bedplate starts"))
}

/// The digest in the row of a resource.
fn digest(scratch: &Scratch, kind: &str) -> String {
    let status = scratch.bedplate(&["status", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    let row = rows.as_array().into_iter().flatten().find(|row| row["kind"] == kind).expect("a row");
    row["digest"].as_str().unwrap_or_else(|| panic!("no digest in {row}")).to_owned()
}

#[test]
fn text_becomes_a_model_that_answers_and_a_stop_in_between_changes_no_bit() {
    let straight = scratch();
    let ask = format!("{} complete --max-tokens 8 --temperature 0 'pub fn '", env!("CARGO_BIN_EXE_bedplate"));
    let told = run(&straight, &["--exec", &ask]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let answer = told.out.lines().find(|line| line.starts_with("pub fn ")).expect("a completion");
    assert!(answer.len() > "pub fn ".len(), "{told:?}");
    assert!(told.err.contains("bits per byte"), "{told:?}");

    let stopped = scratch();
    let child = command(&stopped, &[]).spawn().expect("bedplate starts");
    stopped.wait_for(&stopped.state("storage/default/training-jobs/default/tiny/progress.jsonl"), "\"step\":7,");
    signal(&child, Signal::INT);
    let told = Told::from(child.wait_with_output().expect("it ends"));
    assert_eq!(told.code, Some(14), "{told:?}");
    let told = run(&stopped, &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let row = told.out.lines().find(|line| line.starts_with("Dataset/sources")).expect("a row");
    assert!(row.contains("UpToDate"), "{row}");
    for kind in ["Dataset", "TrainingJob"] {
        assert_eq!(digest(&straight, kind), digest(&stopped, kind), "{kind}");
    }
    // A third run has nothing left to do but serve.
    let told = run(&stopped, &[]);
    assert_eq!((told.code, told.out.matches("UpToDate").count()), (Some(0), 2), "{told:?}");
}

#[test]
fn what_only_a_worker_can_know_is_told_by_the_run() {
    let scratch = scratch();
    std::fs::remove_dir_all(scratch.path().join("corpus")).expect("the corpus");
    scratch.write("corpus/short.rs", "fn");
    let told = run(&scratch, &[]);
    assert_eq!(told.code, Some(11), "{told:?}");
    assert!(told.err.contains("Dataset/sources failed (InvalidConfig): "), "{told:?}");
}
