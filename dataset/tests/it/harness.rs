//! A folder with inputs, and runs of the binary on it.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bedplate_crds::job::{exit::ExitCode, manifest::DatasetManifest};
use bedplate_tokenizer::{TokenShard, Tokenizer};
use serde_json::{Value, json};

/// Longest a test waits for anything: far beyond what it takes, so that only a hang fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Inputs, output and runs of one test.
pub struct Folder {
    root: tempfile::TempDir,
    runs: Cell<u32>,
}

/// How a run ended.
pub struct Outcome {
    pub exit: Option<ExitCode>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub events: Vec<Value>,
}

impl Folder {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("in")).unwrap();
        Self { root, runs: Cell::new(0) }
    }

    /// A folder with `count` documents of prose.
    pub fn with_prose(count: u64) -> Self {
        let folder = Self::new();
        for index in 0..count {
            folder.write(
                &format!("text/part-{}/{index:04}.txt", index % 3),
                prose(index, 400 + 37 * (index as usize % 50)),
            );
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn input(&self, path: &str) -> PathBuf {
        self.root.path().join("in").join(path)
    }

    pub fn output(&self, path: &str) -> PathBuf {
        self.root.path().join("out").join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.input(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a job file with 2 threads.
    pub fn job(&self, spec: &Value) -> PathBuf {
        self.job_with(spec, &json!({}))
    }

    /// Writes a job file with `fields` of the job replaced.
    pub fn job_with(&self, spec: &Value, fields: &Value) -> PathBuf {
        self.runs.set(self.runs.get() + 1);
        let mut job = json!({
            "metadata": { "name": "test", "namespace": "default" },
            "spec": spec,
            "inputRoot": self.input(""),
            "outputDir": self.output(""),
            "progressFile": self.progress_file(),
            "threads": 2,
        });
        for (name, value) in fields.as_object().unwrap() {
            job[name] = value.clone();
        }
        let path = self.path().join("job.json");
        fs::write(&path, serde_json::to_vec(&job).unwrap()).unwrap();
        path
    }

    fn progress_file(&self) -> PathBuf {
        self.path().join(format!("progress-{}.jsonl", self.runs.get()))
    }

    pub fn run(&self, spec: &Value) -> Outcome {
        let job = self.job(spec);
        self.finish(command(&job))
    }

    pub fn finish(&self, mut command: Command) -> Outcome {
        let output = command.output().unwrap();
        Outcome {
            exit: output.status.code().and_then(ExitCode::from_code),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            events: self.events(),
        }
    }

    /// Events of the last run.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.progress_file()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Runs a job that must succeed.
    pub fn make(&self, spec: &Value) -> DatasetManifest {
        let outcome = self.run(spec);
        assert_eq!(outcome.exit, Some(ExitCode::Success), "{}", outcome.stderr);
        self.manifest()
    }

    pub fn manifest(&self) -> DatasetManifest {
        serde_json::from_slice(&fs::read(self.output("manifest.json")).unwrap()).unwrap()
    }

    /// Texts of every document of a split, put together from the shards. Documents must fit a sequence.
    pub fn documents(&self, split: &str) -> Vec<String> {
        let manifest = self.manifest();
        let tokenizer = Tokenizer::from_folder(self.output("")).unwrap();
        let shards = if split == "train" { &manifest.train.shards } else { &manifest.holdout.shards };
        let mut texts = Vec::new();
        let (mut tokens, mut lengths) = (Vec::new(), Vec::new());
        for shard in shards {
            let shard = TokenShard::open(self.output(&shard.file)).unwrap();
            for index in 0..shard.num_sequences() {
                shard.read(index, &mut tokens, &mut lengths);
                let mut rest = &tokens[..];
                for &length in &lengths {
                    let (document, after) = rest.split_at(length as usize);
                    let (&end, text) = document.split_last().unwrap();
                    assert_eq!(end, manifest.end_of_text_id, "every document is ended");
                    texts.push(tokenizer.decode(text, false));
                    rest = after;
                }
            }
        }
        texts.sort();
        texts
    }
}

impl Outcome {
    pub fn failed(&self) -> &str {
        let failed = self.events.iter().rfind(|event| event["event"] == "failed");
        failed.map_or("", |event| event["message"].as_str().unwrap())
    }

    /// Stages that were skipped.
    pub fn cached(&self) -> Vec<&str> {
        let done = self.events.iter().filter(|event| event["event"] == "stage" && event["done"] == true);
        done.filter(|event| event["cached"] == true).map(|event| event["stage"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub fn assert_refused(&self, exit: ExitCode, words: &[&str]) {
        assert_eq!(self.exit, Some(exit), "{}", self.stderr);
        let message = self.failed();
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in: {message}");
        }
        assert!(!message.contains('\n'), "one line: {message}");
    }
}

pub fn command(job: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-dataset"));
    command.arg("--config").arg(job).env("RUST_LOG", "info").stdin(Stdio::null());
    command
}

/// Waits until `is_so`, or fails.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < DEADLINE, "{what} did not happen");
        std::thread::park_timeout(POLL);
    }
}

/// A child that does not outlive its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A spec with one source of text files below `text`, and a small trained tokenizer.
pub fn spec() -> Value {
    json!({
        "sources": [{ "uri": "file:text" }],
        "pipeline": [{ "type": "utf8Repair" }, { "type": "exactDedup" }],
        "tokenizer": { "type": "train", "vocabSize": 340 },
        "packing": { "sequenceLength": 2048 },
        "holdout": { "ratio": 0.1 },
    })
}

/// Reproducible English-like text of about `bytes` bytes.
pub fn prose(seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 24] = [
        "the", "river", "of", "letters", "was", "never", "still", "and", "carried", "houses", "to", "a", "sea",
        "without", "shore", "while", "nobody", "counted", "waves", "because", "light", "kept", "turning", "stones",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut text = format!("Text {seed}.");
    while text.len() < bytes {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(if state >> 60 == 0 { '\n' } else { ' ' });
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
    }
    text
}
