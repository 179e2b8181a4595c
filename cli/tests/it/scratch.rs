//! A folder to run in, with workers that speak the progress protocol and do as a test tells them.
//!
//! The workers are shell scripts: what is tested here is how processes are watched, not what they compute.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest wait for something that must happen: a machine with many builds at once is slow, not stuck.
const DEADLINE: Duration = Duration::from_secs(60);

/// What every worker begins with: `$progress` is its progress file, `$job` its job file, `say` appends an event.
const PRELUDE: &str = r#"#!/bin/sh
job=$2
progress=$(sed -n 's/.*"progressFile": "\(.*\)".*/\1/p' "$job")
address=$(sed -n 's/.*"httpAddress": "\(.*\)".*/\1/p' "$job")
mkdir -p "$(dirname "$progress")"
say() { printf '{"timeSeconds":%s,"event":%s}\n' "$(date +%s)" "$1" >> "$progress"; }
fail() { say "\"failed\",\"message\":\"$1\",\"exitCode\":$2"; echo "worker says: $1" >&2; exit "$2"; }
step() { say "\"step\",\"step\":$1,\"maxSteps\":$2,\"loss\":2.5,\"gradNorm\":1.5,\"learningRate\":0.001,\"tokensPerSecond\":1000,\"tokens\":$1"; }
checkpoint() { say "\"checkpoint\",\"step\":$1,\"path\":\"/c/$1\",\"digest\":\"cccc$1\",\"bytes\":1000"; }
say '"started","pid":'$$
"#;

/// A Dataset that is made at once.
pub const DATASET: &str = r#"
say '"stage","stage":"read","documentsIn":3,"documentsOut":3,"bytesOut":30,"done":true'
say '"stage","stage":"exactDedup","documentsIn":3,"documentsOut":2,"bytesOut":20,"done":true'
say '"completed","digest":"dddd0123456789abcdef"'
"#;

/// A training of four steps.
pub const TRAINER: &str = r#"
for i in 1 2 3 4; do step $i 4; done
say '"evaluation","step":4,"loss":1.5,"bitsPerByte":1.25,"tokens":100'
checkpoint 4
say '"completed","digest":"cccc4"'
"#;

/// A server that answers nothing but is ready until it is told to end.
pub const SERVER: &str = r#"
trap 'exit 0' TERM
say "\"ready\",\"url\":\"http://$address\""
sleep 1000 & wait
"#;

/// The three resources, each waiting for the one before.
pub const THREE: &str = r#"
apiVersion: bedplate.dev/v1alpha1
kind: Dataset
metadata: { name: sources }
spec:
  sources: [{ uri: 'file:corpus' }]
  pipeline: [{ type: exactDedup }]
  tokenizer: { type: train, vocabSize: 300 }
  packing: { sequenceLength: 32 }
---
apiVersion: bedplate.dev/v1alpha1
kind: TrainingJob
metadata: { name: tiny }
spec:
  model:
    type: config
    config: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 }
  data: [{ dataset: sources }]
  schedule: { maxSteps: 4, globalBatchSize: 2, microBatchSize: 1, learningRate: 0.001 }
---
apiVersion: bedplate.dev/v1alpha1
kind: ModelDeployment
metadata: { name: tiny }
spec:
  model: { type: trainingJob, name: tiny }
"#;

/// A folder with a corpus, manifests and workers.
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// The three resources in `three.yaml`, and workers that do well.
    pub fn new() -> Self {
        let scratch = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        scratch.write("corpus/a.txt", "fn main() {}\n");
        scratch.write("three.yaml", THREE);
        scratch.worker("bedplate-dataset", DATASET);
        scratch.worker("bedplate-trainer", TRAINER);
        scratch.worker("bedplate-inference", SERVER);
        scratch
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the state folder.
    pub fn state(&self, name: &str) -> PathBuf {
        self.path().join(".bedplate").join(name)
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("within the folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Makes a worker do this.
    pub fn worker(&self, name: &str, body: &str) {
        use std::os::unix::fs::PermissionsExt;
        let name = format!("bin/{name}");
        self.write(&name, &format!("{PRELUDE}{body}"));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path().join(name), executable).expect("an executable file");
    }

    /// `bedplate` with these arguments, in the folder, with its workers.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
        command.args(args).current_dir(self.path()).env("BEDPLATE_BIN_DIR", self.path().join("bin"));
        command.env_remove("DATABASE_URL").env_remove("BEDPLATE_ENDPOINT").env_remove("BEDPLATE_STATE_DIR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn bedplate(&self, args: &[&str]) -> Told {
        Told::from(self.command(args).output().expect("bedplate starts"))
    }

    /// `bedplate run three.yaml` without history, on free ports, with these further arguments.
    pub fn run(&self, more: &[&str]) -> Told {
        self.bedplate(&[RUN, more].concat())
    }

    /// The same, left running.
    pub fn start(&self, more: &[&str]) -> Child {
        self.command(&[RUN, more].concat()).spawn().expect("bedplate starts")
    }

    /// The text of a file, once it holds this.
    pub fn wait_for(&self, path: &Path, wanted: &str) -> String {
        let mut text = String::new();
        wait_until(&format!("{wanted:?} in {}", path.display()), || {
            text = std::fs::read_to_string(path).unwrap_or_default();
            text.contains(wanted)
        });
        text
    }
}

const RUN: &[&str] = &["run", "three.yaml", "--no-history", "--port", "0"];

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        // Between two looks; nobody unparks.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Sends a signal to one process.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

/// Whether a process of that number runs.
pub fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with('Z'))
}
