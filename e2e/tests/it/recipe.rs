//! The work that the tests have done: a corpus of real text, a small Dataset, a small TrainingJob. Owns their sizes; runs nothing.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

use crate::{
    cluster::{say, wait_for},
    install::bedplate,
    namespace::Namespace,
};

/// The user of Bedplate's images, who must be able to read the inputs.
const USER: u32 = 65532;

/// A namespace with Bedplate's claims and the corpus among its inputs.
pub fn namespace(name: &str) -> Namespace {
    bedplate();
    let mut namespace = Namespace::new(name);
    namespace.claim("bedplate-storage");
    let inputs = namespace.claim("bedplate-inputs");
    corpus(&inputs);
    namespace
}

/// Copies this project's API types, a few hundred KB of Rust and Markdown, to `corpus` in a folder.
pub fn corpus(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for source in ["crds/src", "docs"] {
        copy(&root.join(source), &folder.join("corpus").join(source));
    }
}

/// Puts the chat model of `examples/chat.yaml` among a namespace's inputs; it is fetched once for all runs.
pub fn chat_model(namespace: &Namespace) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/fetch-smollm2.sh");
    let fetched = say(&mut Command::new(script), "");
    assert!(fetched.ok, "fetch-smollm2.sh: {}", fetched.err);
    let models = namespace.volume("bedplate-inputs").join("models");
    fs::create_dir_all(&models).expect("a folder for the model");
    let model = Path::new(&fetched.out);
    fs::copy(model, models.join(model.file_name().expect("a file"))).expect("a copy of the model");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the corpus");
    for entry in fs::read_dir(from).expect("the sources").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy of a source");
            chown(&target, Some(USER), Some(USER)).expect("the right to give files away");
        }
    }
}

/// A Dataset of the corpus.
pub fn dataset(name: &str) -> String {
    format!(
        "apiVersion: bedplate.dev/v1alpha1
kind: Dataset
metadata: {{name: {name}}}
spec:
  sources: [{{uri: 'file:corpus', include: ['**/*.rs', '**/*.md']}}]
  pipeline: [{{type: utf8Repair}}, {{type: length, minBytes: 64}}, {{type: exactDedup}}]
  tokenizer: {{type: train, vocabSize: 400}}
  packing: {{sequenceLength: 64}}
  holdout: {{ratio: 0.1}}
---
"
    )
}

/// What differs between two TrainingJobs of the tests; none of it changes the result.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Pods, of one process each.
    pub nodes: u32,
    /// Steps. With `LONG` it runs for half a minute on a quiet machine, so that something can happen to it.
    pub steps: u32,
    /// Further lines of the spec, with their indentation.
    pub more: &'a str,
}

/// Steps of a job that is over at once.
pub const SHORT: u32 = 40;
/// Steps of a job that something is done to.
pub const LONG: u32 = 1200;

/// A TrainingJob on a Dataset.
pub fn training(name: &str, dataset: &str, shape: Shape<'_>) -> String {
    let Shape { nodes, steps, more } = shape;
    format!(
        "apiVersion: bedplate.dev/v1alpha1
kind: TrainingJob
metadata: {{name: {name}}}
spec:
  model:
    type: config
    config: {{hidden_size: 96, intermediate_size: 192, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2}}
  data: [{{dataset: {dataset}}}]
  schedule: {{maxSteps: {steps}, globalBatchSize: 8, microBatchSize: 4, learningRate: 0.003, warmupSteps: 4}}
  checkpoint: {{everySteps: 20, keep: 2}}
  evaluation: {{maxSequences: 8}}
  parallelism: {{data: {nodes}}}
  workers: {{numNodes: {nodes}}}
{more}---
"
    )
}

/// A ModelDeployment of what a TrainingJob makes.
pub fn deployment(name: &str, training: &str) -> String {
    format!(
        "apiVersion: bedplate.dev/v1alpha1
kind: ModelDeployment
metadata: {{name: {name}}}
spec:
  model: {{type: trainingJob, name: {training}}}
---
"
    )
}

/// Waits until a resource is in a phase, and fails at once where it has failed instead.
pub fn wait_phase(namespace: &Namespace, object: &str, wanted: &str) {
    wait_for(&format!("{object} is {wanted}"), || {
        let phase = namespace.value(object, "{.status.phase}");
        assert!(
            phase != "Failed" || wanted == "Failed",
            "{object} has failed: {}",
            namespace.value(object, "{.status.conditions}")
        );
        if phase == wanted { Ok(()) } else { Err(format!("{phase:?}")) }
    });
}

/// Waits until a job has a durable checkpoint of this step or a later one, as its volume shows it: the resource tells of it up to
/// 15 s later, when a fast machine may be done.
pub fn wait_checkpoint(namespace: &Namespace, job: &str, step: u64) {
    let name = job.strip_prefix("trainingjob/").expect("a TrainingJob");
    let folder = namespace.volume("bedplate-storage").join("training-jobs").join(namespace.name()).join(name);
    wait_for(&format!("{job} has a checkpoint of step {step}"), || {
        let seen = newest_checkpoint(&folder.join("checkpoints"));
        if seen >= Some(step) { Ok(()) } else { Err(format!("{seen:?} in {}", folder.display())) }
    });
}

fn newest_checkpoint(folder: &Path) -> Option<u64> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok()).max()
}
