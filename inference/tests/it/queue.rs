//! A full queue says so at once, a client that goes away takes nothing with it, and a slow one holds up nobody.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::fixture::{MAX_MODEL_LEN, Running, completion};

const RUNNING: &str = "vllm:num_requests_running";
const WAITING: &str = "vllm:num_requests_waiting";
const USAGE: &str = "vllm:kv_cache_usage_perc";

/// A request whose answer outlasts any test.
fn endless() -> Value {
    let mut body = completion("the quick", MAX_MODEL_LEN - 16);
    body["stream"] = true.into();
    body
}

/// Sends `body` and reads nothing of the answer.
async fn begin(served: &Running, body: Value) -> reqwest::Response {
    let api = &served.api;
    api.client.post(format!("{}/v1/completions", api.url)).json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_429_with_retry_after() {
    let served = Running::with(|job| {
        job.engine.max_num_seqs = 1;
        job.engine.max_queue_len = 2;
    });
    let running = begin(&served, endless()).await;
    served.api.await_metric(RUNNING, |value| value == 1.0).await;
    let waiting = [begin(&served, endless()).await, begin(&served, endless()).await];
    assert_eq!(served.api.metric(WAITING).await, 2.0);
    assert_eq!(served.api.get("/ready").await.status, 503);
    let reply = served.api.post("/v1/completions", completion("x", 1)).await;
    assert_eq!((reply.status, &reply.body["error"]["type"]), (429, &json!("rate_limit_error")));
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(
        served
            .api
            .metric("vllm:admission_rejections_total{engine=\"0\",model_name=\"tiny\",reason=\"queue_full\"")
            .await,
        1.0
    );
    // Whoever goes away makes room.
    drop(waiting);
    drop(running);
    served.api.await_metric(WAITING, |value| value == 0.0).await;
    assert_eq!(served.api.post("/v1/completions", completion("x", 1)).await.status, 200);
    assert_eq!(served.api.get("/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_blocks() {
    let served = Running::tiny();
    let mut streams =
        vec![begin(&served, endless()).await.bytes_stream(), begin(&served, endless()).await.bytes_stream()];
    for stream in &mut streams {
        stream.next().await.unwrap().unwrap();
    }
    assert!(served.api.metric(USAGE).await > 0.0);
    drop(streams);
    served.api.await_metric(USAGE, |value| value == 0.0).await;
    served
        .api
        .await_metric("vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"", |value| value == 2.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_before_its_whole_answer_frees_its_blocks() {
    let served = Running::tiny();
    let mut body = endless();
    body["stream"] = false.into();
    let request = served.api.client.post(format!("{}/v1/completions", served.api.url)).json(&body);
    let waiting = tokio::spawn(request.send());
    served.api.await_metric(USAGE, |value| value > 0.0).await;
    waiting.abort();
    served.api.await_metric(USAGE, |value| value == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_nobody() {
    let served = Running::tiny();
    // Never read: the sockets fill up, the channels take the rest.
    let slow = [begin(&served, endless()).await, begin(&served, endless()).await];
    served.api.await_metric(RUNNING, |value| value == 2.0).await;
    let before = served.api.metric("vllm:generation_tokens_total").await;
    for _ in 0..20 {
        served.api.complete(completion("the lazy dog", 20)).await;
    }
    assert!(served.api.metric("vllm:generation_tokens_total").await >= before + 400.0);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_answers_than_may_wait_are_refused_whole() {
    let served = Running::with(|job| job.engine.max_queue_len = 4);
    let mut body = completion(json!(["a", "b"]), 1);
    body["n"] = 3.into();
    let reply = served.api.post("/v1/completions", body).await;
    assert_eq!((reply.status, &reply.body["error"]["param"]), (400, &json!("prompt")));
}
