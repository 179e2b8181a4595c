//! The binary as a supervisor sees it: job file in, progress events and an exit code out.

use std::{
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use bedplate_crds::job::{
    InferenceJob,
    progress::{ProgressBody, ProgressEvent},
};
use serde_json::json;

use crate::fixture::{Api, DEADLINE, job, model_folder, write_changed_model};

/// A started binary; killed when dropped.
pub struct Process {
    child: Child,
    progress_file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    pub fn start(change: impl FnOnce(&mut InferenceJob)) -> Self {
        Self::with_environment(&[], change)
    }

    pub fn with_environment(variables: &[(&str, &str)], change: impl FnOnce(&mut InferenceJob)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(&model_folder());
        job.progress_file = folder.path().join("run/progress.jsonl");
        change(&mut job);
        let config = folder.path().join("job.json");
        std::fs::write(&config, serde_json::to_vec(&job).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate-inference"));
        let child = command
            .arg("--config")
            .arg(config)
            .envs(variables.iter().copied())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, progress_file: job.progress_file, _folder: folder }
    }

    pub fn events(&self) -> Vec<ProgressEvent> {
        let text = std::fs::read_to_string(&self.progress_file).unwrap_or_default();
        // A line that is being written is not yet there.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the Ready event and gives its URL.
    pub fn url(&mut self) -> String {
        let begun = Instant::now();
        loop {
            let ready = self.events().into_iter().find_map(|event| match event.body {
                ProgressBody::Ready { url } => Some(url),
                _ => None,
            });
            if let Some(url) = ready {
                return url;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended before it was ready: {:?}", self.events());
            assert!(begun.elapsed() < DEADLINE, "it never became ready");
            std::thread::yield_now();
        }
    }

    /// The sentence of the last event, which must be Failed.
    pub fn failure(&self) -> String {
        let last = self.events().pop();
        let Some(ProgressEvent { body: ProgressBody::Failed { message, .. }, .. }) = last else { panic!("{last:?}") };
        message
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Bytes of memory it has from the system.
    fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE + Duration::from_secs(30), "it never ended");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reports_its_address_answers_and_ends_well_on_sigterm() {
    let mut process = Process::start(|_| {});
    let api = Api::new(process.url());
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 3 });
    assert_eq!(api.post("/v1/chat/completions", body.clone()).await.status, 200);
    assert!(matches!(process.events()[0].body, ProgressBody::Started { .. }));
    process.terminate();
    assert_eq!(process.wait().code(), Some(0));
}

/// What a process may keep of a prompt that took hundreds of megabytes to tokenise.
const KEPT_BYTES: usize = 64 << 20;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_large_prompt_goes_back_to_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_changed_model(&model, None, |config| config.max_position_embeddings = 1 << 20, |_, _| {});
    let mut process = Process::start(|job| {
        job.model_uri = format!("file:{}", model.display());
        job.kv_cache_bytes = 256 << 20;
    });
    let api = Api::new(process.url());
    api.ask("/tokenize", json!({ "prompt": "the" })).await;
    let before = process.resident_bytes();
    let prompt = "the quick ".repeat(300_000);
    let counted = api.ask("/tokenize", json!({ "prompt": prompt })).await;
    assert!(counted["count"].as_u64().unwrap() > 300_000);
    let (begun, mut kept) = (Instant::now(), usize::MAX);
    while kept > KEPT_BYTES {
        kept = process.resident_bytes().saturating_sub(before);
        assert!(begun.elapsed() < DEADLINE, "{} MiB are kept", kept >> 20);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn an_early_end_has_its_exit_code_and_one_clear_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut process = Process::start(|job| job.http_address = address);
    assert_eq!(process.wait().code(), Some(10));
    let last = process.events().pop().unwrap();
    let ProgressBody::Failed { message, exit_code } = last.body else { panic!("{last:?}") };
    assert!(message.contains("httpAddress") && exit_code == 10, "{message}");
}

#[test]
fn a_job_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("job.json");
    for text in ["{", "{\"noSuchField\": 1}"] {
        std::fs::write(&config, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_bedplate-inference")).arg("--config").arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(11));
        assert!(String::from_utf8_lossy(&output.stderr).contains("job.json is not valid"));
    }
}
