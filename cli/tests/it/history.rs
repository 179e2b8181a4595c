//! History of a state folder: kept whatever happens to Postgres, read with the real binary from a real server.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bedplate::history::{ArtefactKind, Attempt, History, LineageEdge, NewAttempt};
use bedplate_crds::job::progress::{ProgressBody, ProgressEvent, StepMetrics};
use bedplate_operator::resource::Kind;
use bedplate_telemetry::progress::{ProgressWriter, now_seconds};
use chrono::Utc;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

/// Longest wait for something that takes a second on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A state folder that the user of root's Postgres can enter too.
struct State {
    dir: tempfile::TempDir,
}

impl State {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> History {
        History::open(self.path(), None).unwrap()
    }

    fn progress_file(&self, name: &str) -> PathBuf {
        self.path().join(name).join("progress.jsonl")
    }

    fn report(&self, name: &str, bodies: impl IntoIterator<Item = ProgressBody>) {
        let writer = ProgressWriter::open(self.progress_file(name)).unwrap();
        for body in bodies {
            writer.append(&ProgressEvent { time_seconds: now_seconds(), body }).unwrap();
        }
    }

    fn begin(&self, history: &History, kind: Kind, name: &str) -> Attempt {
        let job = json!({ "progressFile": self.progress_file(name), "outputDir": self.path().join(name) });
        let (namespace, name) = ("default".to_owned(), name.to_owned());
        let spec = json!({ "made": "for a test" });
        history.begin_attempt(&NewAttempt { kind, namespace, name, spec, job, started_at: Utc::now() }).unwrap()
    }

    fn bedplate(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedplate"));
        command.args(args).arg("--state-dir").arg(self.path()).env_remove("DATABASE_URL");
        command
    }

    fn stdout(&self, args: &[&str]) -> String {
        let output = self.bedplate(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.stdout(&[args, &["-o", "json"]].concat())).unwrap()
    }

    fn server_pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.path().join("postgres/data/postmaster.pid")).ok()?;
        // Its eighth line says `ready` once it takes connections.
        text.lines().nth(7).filter(|line| line.trim() == "ready")?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }
}

fn step(step: u64) -> ProgressBody {
    ProgressBody::Step(StepMetrics {
        step,
        max_steps: 40,
        loss: 1.0 / step as f64,
        grad_norm: 1.0,
        learning_rate: 0.1,
        tokens_per_second: 100.0,
        tokens: step,
    })
}

fn completed(digest: &str) -> ProgressBody {
    ProgressBody::Completed { digest: digest.to_owned() }
}

async fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_runs_is_listed_and_its_lineage_walked() {
    let state = State::new();
    let history = state.open();
    let dataset = state.begin(&history, Kind::Dataset, "rust");
    let cleaned = ProgressBody::Stage {
        stage: "exactDedup".to_owned(),
        documents_in: 1200,
        documents_out: 1100,
        bytes_in: 6_000_000,
        bytes_out: 5_000_000,
        left_out: std::collections::BTreeMap::new(),
        fraction: None,
        cached: false,
        done: true,
    };
    state.report("rust", [cleaned, completed("d0d0d0d0d0d0d0d0")]);
    history.end_attempt(&dataset, Some(0)).unwrap();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    let edge = |attempt: &Attempt, artefact, digest: &str| LineageEdge {
        attempt: attempt.clone(),
        artefact,
        digest: digest.to_owned(),
        uri: "/somewhere".to_owned(),
    };
    history.link(&edge(&training, ArtefactKind::Dataset, "d0d0d0d0d0d0d0d0")).unwrap();
    let checkpoint = ProgressBody::Checkpoint { step: 40, path: "/c/40".into(), digest: "c0c0c0c0c0".into(), bytes: 9 };
    let evaluation = ProgressBody::Evaluation { step: 40, loss: 2.5, bits_per_byte: 1.75, tokens: 100 };
    state.report("code", (1..=40).map(step).chain([evaluation, checkpoint, completed("c0c0c0c0c0")]));
    history.end_attempt(&training, Some(0)).unwrap();
    let serving = state.begin(&history, Kind::ModelDeployment, "chat");
    history.link(&edge(&serving, ArtefactKind::Checkpoint, "c0c0c0c0c0")).unwrap();
    state.report("chat", [ProgressBody::Ready { url: "http://127.0.0.1:8000".to_owned() }]);
    history.end_attempt(&serving, Some(0)).unwrap();
    assert_eq!(history.close().await, None);
    assert!(state.server_pid().is_none(), "the private Postgres was left running");

    let list = state.stdout(&["runs"]);
    let row = list.lines().find(|line| line.contains("TrainingJob")).unwrap();
    for cell in ["code", "Completed", "40/40", "0.025", "1.750", "c0c0c0c0c0"] {
        assert!(row.contains(cell), "{cell} is not in {row}");
    }
    let detail = state.stdout(&["runs", "code"]);
    for part in ["Attempts", "1-40", "Loss\n1.000 █", "▁ 0.025   to step 40", "Hold-out", "Checkpoints", "/c/40"] {
        assert!(detail.contains(part), "{part} is not in\n{detail}");
    }
    assert!(state.stdout(&["runs", "rust"]).contains("exactDedup   1,200          1,100           5.00 MB"));
    let expect = "Dataset rust (attempt 1)\n└─ dataset d0d0d0d0d0d0  file:///somewhere\n   \
                  └─ TrainingJob code (attempt 1)\n      └─ checkpoint c0c0c0c0c0 step 40  file:///somewhere\n         \
                  └─ ModelDeployment chat (attempt 1) http://127.0.0.1:8000\n";
    assert_eq!(state.stdout(&["lineage", "chat"]), expect);
    assert_eq!(state.stdout(&["lineage", "c0c0c0"]), expect);
    assert_eq!(state.json(&["lineage", "rust"])["edges"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_run_comes_back_and_nothing_is_missing() {
    let state = State::new();
    let history = state.open();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    state.report("code", (1..=10).map(step));
    let pid = wait_for("the private server", || state.server_pid()).await;
    kill_process(pid, Signal::KILL).unwrap();
    let asked = Instant::now();
    state.report("code", (11..=39).map(step));
    history.end_attempt(&training, Some(14)).unwrap();
    let resumed = state.begin(&history, Kind::TrainingJob, "code");
    assert!(asked.elapsed() < Duration::from_secs(5), "the run waited for the database: {:?}", asked.elapsed());
    wait_for("the end of the killed server", || test_kill_process(pid).err()).await;
    state.report("code", [step(40), completed("c1")]);
    history.end_attempt(&resumed, Some(0)).unwrap();
    assert_eq!(history.close().await, None);
    let runs = state.json(&["runs", "code"]);
    let attempts = runs[0]["attemptDetails"].as_array().unwrap();
    let steps: Vec<_> = attempts.iter().map(|a| (a["firstStep"].as_i64(), a["lastStep"].as_i64())).collect();
    assert_eq!(steps, [(Some(1), Some(39)), (Some(40), Some(40))]);
    assert_eq!((&attempts[0]["status"], &attempts[1]["status"]), (&json!("Stopped"), &json!("Completed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_server_a_run_goes_on_and_the_next_one_records_it() {
    let state = State::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://me:s3cret@127.0.0.1:{port}/history");
    let history = History::open(state.path(), Some(&url)).unwrap();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    state.report("code", [step(1), completed("c1")]);
    history.end_attempt(&training, Some(0)).unwrap();
    let why = history.close().await.unwrap();
    assert!(why.contains(&format!("127.0.0.1:{port}")) && why.contains("DATABASE_URL"), "{why}");
    assert!(!why.contains("s3cret"), "{why}");
    let refused = state.bedplate(&["runs"]).env("DATABASE_URL", &url).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("DATABASE_URL") && !text.contains("s3cret"), "{text}");
    assert_eq!(state.open().close().await, None);
    assert_eq!(state.json(&["runs"])[0]["status"], "Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_supervisor_was_killed_is_lost_and_torn_lines_spoil_only_themselves() {
    let state = State::new();
    let history = state.open();
    let _killed = state.begin(&history, Kind::TrainingJob, "code");
    state.report("code", [step(1), step(2)]);
    // All that a killed program leaves: its files, cut short, and no end.
    drop(history);
    for file in [state.progress_file("code"), state.path().join("history/journal.jsonl")] {
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"timeSeconds\":1,\"ev");
        std::fs::write(&file, text).unwrap();
    }
    let history = state.open();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    state.report("code", [step(3), completed("c1")]);
    let listed = wait_for("the second attempt", || {
        let runs = state.json(&["runs", "code"]);
        (runs[0]["attemptDetails"].as_array()?.len() == 2).then_some(runs)
    })
    .await;
    assert_eq!(listed[0]["attemptDetails"][0]["status"], "Lost");
    history.end_attempt(&training, Some(0)).unwrap();
    assert_eq!(history.close().await, None);
    let attempts = state.json(&["runs", "code"])[0]["attemptDetails"].take();
    assert_eq!((&attempts[0]["firstStep"], &attempts[0]["lastStep"]), (&json!(1), &json!(2)));
    assert_eq!((&attempts[1]["firstStep"], &attempts[1]["status"]), (&json!(3), &json!("Completed")));
    // The recorder of the dropped history lets go of the server by itself, and whoever is last stops it.
    wait_for("the end of the server", || state.server_pid().is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_share_one_folder_and_neither_ends_the_other_s_attempts() {
    let state = State::new();
    let (first, second) = (state.open(), state.open());
    let one = state.begin(&first, Kind::Dataset, "one");
    let two = state.begin(&second, Kind::Dataset, "two");
    state.report("one", [completed("d1")]);
    first.end_attempt(&one, Some(0)).unwrap();
    assert_eq!(first.close().await, None);
    let runs = state.json(&["runs"]);
    let status = |name: &str| {
        runs.as_array().unwrap().iter().find(|run| run["name"] == name).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!((status("one"), status("two")), ("Completed".to_owned(), "Running".to_owned()));
    second.end_attempt(&two, Some(10)).unwrap();
    assert_eq!(second.close().await, None);
    assert!(state.server_pid().is_none(), "the private Postgres was left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_postgres_refuses_is_left_out_and_the_rest_is_kept() {
    let state = State::new();
    let history = state.open();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    let nameless = ProgressBody::Checkpoint { step: 2, path: "/c".into(), digest: String::new(), bytes: 1 };
    state.report("code", [step(1), nameless, step(2), completed("c1")]);
    history.end_attempt(&training, Some(0)).unwrap();
    assert_eq!(history.close().await, None);
    let run = state.json(&["runs", "code"]);
    assert_eq!((&run[0]["step"], &run[0]["digest"], &run[0]["checkpoints"]), (&json!(2), &json!("c1"), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_lost_is_filled_again_from_the_folder() {
    let state = State::new();
    let history = state.open();
    let training = state.begin(&history, Kind::TrainingJob, "code");
    state.report("code", (1..=40).map(step).chain([completed("c1")]));
    history.end_attempt(&training, Some(0)).unwrap();
    assert_eq!(history.close().await, None);
    let before = state.json(&["runs", "code"]);
    std::fs::remove_dir_all(state.path().join("postgres")).unwrap();
    assert_eq!(state.json(&["runs", "code"]), before);
}

#[test]
fn wrong_questions_are_answered_with_the_remedy() {
    let state = State::new();
    let refusal = |args: &[&str]| {
        let output = state.bedplate(args).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refusal(&["runs"]).contains("bedplate run"), "{}", refusal(&["runs"]));
    assert!(refusal(&["runs", "--database-url", "mysql://x"]).contains("postgres://USER"));
    assert!(refusal(&["runs", "--limit", "0"]).contains("--limit"));
    std::fs::create_dir(state.path().join("history")).unwrap();
    assert!(refusal(&["runs", "nothing"]).contains("no run \"nothing\""));
    assert!(refusal(&["lineage", "nothing"]).contains("no run or digest \"nothing\""));
}
