//! Small Datasets, small jobs, and processes that carry them out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bedplate_crds::{
    job::{
        TrainerJob,
        manifest::{DatasetManifest, ShardEntry, Split},
        progress::{ProgressBody, ProgressEvent, StepMetrics},
    },
    training_job::TrainingJobSpec,
};
use bedplate_tokenizer::{ShardWriter, Tokenizer, train_byte_level_bpe};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub const SEQUENCE_LENGTH: u32 = 32;
pub const VOCAB_SIZE: u32 = 280;
/// Longest wait for anything in a test; reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A folder for one test.
pub struct Place(TempDir);

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A Dataset of made-up code that a small model learns quickly, some documents shorter than a sequence.
    pub fn dataset(&self, name: &str) -> PathBuf {
        self.dataset_of(name, SEQUENCE_LENGTH, &documents(name))
    }

    pub fn dataset_of(&self, name: &str, sequence_length: u32, documents: &[String]) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir_all(&dir).unwrap();
        let tokenizer = train_byte_level_bpe(self::documents("tokenizer").iter(), VOCAB_SIZE).unwrap();
        write_dataset(&dir, sequence_length, documents, &tokenizer);
        dir
    }

    /// A job of ten steps over `datasets`, which writes to the folder `name`.
    pub fn job(&self, name: &str, datasets: &[&Path]) -> TrainerJob {
        let output_dir = self.path(name);
        let data: Vec<_> = (0..datasets.len()).map(|index| json!({ "dataset": format!("data-{index}") })).collect();
        let spec: TrainingJobSpec = serde_json::from_value(json!({
            "model": { "type": "config", "config": {
                "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
                "num_key_value_heads": 1
            } },
            "data": data,
            "schedule": {
                "maxSteps": 10, "globalBatchSize": 8, "microBatchSize": 1, "learningRate": 1e-2, "warmupSteps": 2
            },
            "checkpoint": { "everySteps": 5, "keep": 2 },
            "evaluation": { "everySteps": 0, "maxSequences": 4 }
        }))
        .unwrap();
        TrainerJob {
            metadata: serde_json::from_value(json!({ "name": "train", "namespace": "default" })).unwrap(),
            spec,
            dataset_dirs: datasets.iter().map(|dir| dir.to_path_buf()).collect(),
            model_dir: None,
            progress_file: output_dir.join("progress.jsonl"),
            reporting: None,
            output_dir,
            cache_dir: None,
            rendezvous: None,
            rendezvous_token: None,
            threads: 1,
            memory_limit_bytes: 0,
        }
    }

    /// Writes the job file, a fresh one each time.
    pub fn write(&self, job: &TrainerJob) -> PathBuf {
        let mut number = 0;
        let path = loop {
            let path = self.path(&format!("job-{number}.json"));
            if !path.exists() {
                break path;
            }
            number += 1;
        };
        fs::write(&path, serde_json::to_vec_pretty(job).unwrap()).unwrap();
        path
    }

    pub fn start(&self, job: &TrainerJob, rank: u32) -> Child {
        spawn(trainer().arg("--config").arg(self.write(job)).args(["--rank", &rank.to_string()]))
    }

    /// Runs every rank of a job to its end and returns how rank 0 ended.
    pub fn train(&self, job: &TrainerJob) -> Ended {
        let children: Vec<_> = (0..job.spec.parallelism.data).map(|rank| self.start(job, rank)).collect();
        let ended: Vec<_> = children.into_iter().map(wait).collect();
        let code = ended[0].code;
        assert!(ended.iter().all(|other| other.code == code), "the ranks ended differently: {ended:?}");
        ended.into_iter().next().unwrap()
    }

    /// The same for a job that has to succeed; returns the digest of its last checkpoint.
    pub fn complete(&self, job: &TrainerJob) -> String {
        let ended = self.train(job);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        digest(job)
    }
}

pub fn trainer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bedplate-trainer"))
}

pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a process; one that does not end in time is killed, and the test fails.
pub fn wait(mut child: Child) -> Ended {
    let mut ended = false;
    let in_time = wait_until(|| {
        ended = child.try_wait().unwrap().is_some();
        ended
    });
    if !in_time {
        child.kill().unwrap();
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(in_time, "the process did not end: {stderr}");
    Ended { code: status.code(), stderr }
}

/// Looks until the condition holds or the deadline is past, and returns whether it does.
pub fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    false
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

pub fn events(job: &TrainerJob) -> Vec<ProgressBody> {
    let text = fs::read_to_string(&job.progress_file).unwrap_or_default();
    let whole = text.lines().filter(|line| line.ends_with('}'));
    whole.map(|line| serde_json::from_str::<ProgressEvent>(line).unwrap().body).collect()
}

pub fn steps(job: &TrainerJob) -> Vec<StepMetrics> {
    let step = |body| if let ProgressBody::Step(metrics) = body { Some(metrics) } else { None };
    events(job).into_iter().filter_map(step).collect()
}

/// Digest of the last checkpoint of a complete job.
pub fn digest(job: &TrainerJob) -> String {
    match events(job).pop() {
        Some(ProgressBody::Completed { digest }) => digest,
        other => panic!("the last event is {other:?}"),
    }
}

/// Message and exit code of the last event of a job that failed.
pub fn failure(job: &TrainerJob) -> (String, i32) {
    match events(job).pop() {
        Some(ProgressBody::Failed { message, exit_code }) => (message, exit_code),
        other => panic!("the last event is {other:?}"),
    }
}

/// Name and content of every file below a folder.
pub fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => files.extend(self::files(&path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes))),
            false => files.push((name, fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}

pub fn documents(seed: &str) -> Vec<String> {
    let salt: usize = seed.bytes().map(usize::from).sum();
    let names = ["alpha", "beta", "gamma", "delta", "omega"];
    let line = |index: usize| {
        let (left, right) = (names[(index + salt) % 5], names[(index * 3 + salt) % 5]);
        format!("pub fn {left}_{right}(value: u64) -> u64 {{ value + {} }}\n", index % 7)
    };
    (0..60).map(|index| (0..1 + index % 4).map(|offset| line(index * 5 + offset)).collect()).collect()
}

/// Changes the manifest of a Dataset.
pub fn edit_manifest(dir: &Path, edit: impl FnOnce(&mut DatasetManifest)) {
    let path = dir.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// Writes documents, cut to sequences and joined two by two, as the Dataset pod does.
pub fn write_dataset(dir: &Path, sequence_length: u32, documents: &[String], tokenizer: &Tokenizer) {
    let json = tokenizer.to_json().unwrap();
    fs::write(dir.join("tokenizer.json"), &json).unwrap();
    let end_of_text = tokenizer.eos_token_ids()[0];
    let pieces: Vec<Vec<u32>> = documents
        .iter()
        .flat_map(|text| {
            let mut tokens = tokenizer.encode(text, false).unwrap();
            tokens.push(end_of_text);
            tokens.chunks(sequence_length as usize).map(<[u32]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    let held_back = pieces.len().div_ceil(8);
    let (holdout, train) = pieces.split_at(held_back);
    let manifest = DatasetManifest {
        format_version: 1,
        digest: Sha256::digest(format!("{sequence_length} {documents:?}")).iter().map(|b| format!("{b:02x}")).collect(),
        sequence_length,
        document_mask: true,
        vocab_size: tokenizer.vocab_size() as u32,
        tokenizer_sha256: Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect(),
        end_of_text_id: end_of_text,
        stages: Vec::new(),
        // Two shards, so that sequences are found across their border.
        train: write_split(dir, "train", sequence_length, &[&train[..train.len() / 3], &train[train.len() / 3..]]),
        holdout: write_split(dir, "holdout", sequence_length, &[holdout]),
    };
    fs::write(dir.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn write_split(dir: &Path, name: &str, sequence_length: u32, shards: &[&[Vec<u32>]]) -> Split {
    let mut split = Split::default();
    for (number, pieces) in shards.iter().enumerate() {
        let mut writer = ShardWriter::new(sequence_length, VOCAB_SIZE);
        let mut pieces = pieces.iter().peekable();
        while let Some(first) = pieces.next() {
            let fits = |second: &&Vec<u32>| first.len() + second.len() <= sequence_length as usize;
            let second = pieces.next_if(fits).cloned().unwrap_or_default();
            let lengths: Vec<u32> =
                [first.len(), second.len()].iter().map(|len| *len as u32).filter(|len| *len > 0).collect();
            writer.push(&[first.as_slice(), &second].concat(), &lengths).unwrap();
        }
        let file = format!("{name}-{number}.tokens");
        let summary = writer.finish(dir.join(&file)).unwrap();
        split.sequences += summary.sequences;
        split.shards.push(ShardEntry {
            file,
            sequences: summary.sequences,
            bytes: summary.bytes,
            sha256: summary.sha256,
        });
    }
    split
}
