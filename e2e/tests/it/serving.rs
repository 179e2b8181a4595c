//! A real open chat model behind its Service: it answers, scales, and rolls over to a new revision without a failed request.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;

use crate::{
    cluster::{Cluster, Said, say, wait_for},
    namespace::Namespace,
    recipe::{self, wait_phase},
};

/// Longest wait for one answer, in seconds: a few tokens on two shared cores.
const ANSWER_SECONDS: &str = "120";
/// A question whose answer is known and short.
pub const QUESTION: &str = r#"{"model": "SmolLM2-135M-Instruct", "max_tokens": 8, "temperature": 0,
  "messages": [{"role": "user", "content": "What is the capital of France?"}]}"#;

/// `POST` to the Service of a deployment, from this machine, which reaches the cluster's addresses.
fn post(namespace: &Namespace, service: &str, path: &str, body: &str) -> Said {
    let address = namespace.value(&format!("service/{service}"), "{.spec.clusterIP}");
    let url = format!("http://{address}/{path}");
    let json = ["--header", "content-type: application/json", "--data", body];
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", ANSWER_SECONDS]);
    say(curl.args(json).arg(&url), "")
}

/// The same until there is an answer; the answer.
pub fn ask(namespace: &Namespace, service: &str, path: &str, body: &str) -> Value {
    wait_for(&format!("{service} answers"), || {
        let said = post(namespace, service, path, body);
        if said.ok { serde_json::from_str(&said.out).map_err(|error| error.to_string()) } else { Err(said.err) }
    })
}

/// The deployment of `examples/chat.yaml`, ready.
pub fn chat(name: &str) -> Namespace {
    let namespace = recipe::namespace(name);
    recipe::chat_model(&namespace);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chat.yaml");
    namespace.apply(&fs::read_to_string(example).expect("an example"));
    wait_phase(&namespace, "modeldeployment/smollm2", "Ready");
    namespace
}

#[test]
fn a_chat_model_answers_scales_and_rolls_over_without_a_failed_request() {
    let _alone = Cluster::alone();
    let namespace = chat("e2e-chat");
    let answer = ask(&namespace, "smollm2", "v1/chat/completions", QUESTION);
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{answer}");
    namespace.kubectl(&["scale", "modeldeployment/smollm2", "--replicas=2"]);
    namespace.wait_value("modeldeployment/smollm2", "{.status.readyReplicas}", |ready| ready == "2");
    let revision = namespace.value("modeldeployment/smollm2", "{.status.revision}");
    let rolled = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut asked, mut failed) = (0, Vec::new());
            while !rolled.load(Ordering::Relaxed) {
                let said = post(&namespace, "smollm2", "v1/chat/completions", QUESTION);
                asked += 1;
                if !said.ok {
                    failed.push(said);
                }
            }
            (asked, failed)
        });
        let patch = r#"{"spec": {"engine": {"maxNumSeqs": 8}}}"#;
        namespace.kubectl(&["patch", "modeldeployment", "smollm2", "--type=merge", "--patch", patch]);
        let done = roll(&namespace, &revision);
        rolled.store(true, Ordering::Relaxed);
        let (asked, failed) = asking.join().unwrap();
        assert!(done, "it never rolled over");
        assert!(failed.is_empty() && asked > 1, "{} of {asked} requests failed: {failed:?}", failed.len());
    });
}

/// Waits until every pod is of another revision; false where that never comes, so that the asking thread can be ended first.
fn roll(namespace: &Namespace, old: &str) -> bool {
    let status = |path: &str| namespace.value("modeldeployment/smollm2", path);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the deployment has rolled over", || {
            let (revision, updated) = (status("{.status.revision}"), status("{.status.updatedReplicas}"));
            let (ready, all) = (status("{.status.readyReplicas}"), status("{.status.replicas}"));
            let done = revision != old && [&updated, &ready, &all].iter().all(|count| *count == "2");
            if done { Ok(()) } else { Err(format!("{revision}: {updated} updated, {ready} ready, {all} in all")) }
        });
    }))
    .is_ok()
}
