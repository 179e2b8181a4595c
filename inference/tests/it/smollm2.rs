//! A real open chat model from its published file: SmolLM2-135M-Instruct in Q4_1.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::fixture::Running;

/// The model file, fetched into the cache by the project's own script.
fn model_file() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/fetch-smollm2.sh");
    let fetched = Command::new(script).output().unwrap();
    let reason = String::from_utf8_lossy(&fetched.stderr).into_owned();
    assert!(fetched.status.success(), "SmolLM2 could not be fetched, so the real model is not proved: {reason}");
    String::from_utf8_lossy(&fetched.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_file_knows_the_capital_of_france() {
    let file = model_file();
    let served = Running::with(|job| {
        job.model_uri = format!("file:{file}");
        job.kv_cache_bytes = 0;
        job.engine.max_model_len = Some(2048);
    });
    let body = json!({
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
        "max_tokens": 32, "temperature": 0,
    });
    let answer = served.api.ask("/v1/chat/completions", body.clone()).await;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let chunks = served.api.stream("/v1/chat/completions", body).await;
    let streamed: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(streamed, text);
    // ChatML with the model's own system prompt, as the file's template writes it.
    let prompt = served.api.ask("/tokenize", json!({ "messages": [{ "role": "user", "content": "Hi" }] })).await;
    let prompt = served.api.ask("/detokenize", json!({ "tokens": prompt["tokens"] })).await;
    let prompt = prompt["prompt"].as_str().unwrap();
    assert!(
        prompt.starts_with("<|im_start|>system\n") && prompt.ends_with("<|im_end|>\n<|im_start|>assistant\n"),
        "{prompt}"
    );
}
