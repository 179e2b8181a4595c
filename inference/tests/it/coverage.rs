//! Every endpoint is listed here with what proves it, so that a new one cannot come without its proof.

use serde_json::json;

use crate::fixture::Running;

/// Each path, and a request that it answers with 200.
#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers() {
    let served = Running::tiny();
    let api = &served.api;
    let message = json!({ "role": "user", "content": "hi" });
    let answers = [
        ("/v1/models", api.get("/v1/models").await),
        ("/v1/models/{model}", api.get("/v1/models/tiny").await),
        ("/v1/completions", api.post("/v1/completions", json!({ "prompt": "hi", "max_tokens": 1 })).await),
        (
            "/v1/chat/completions",
            api.post("/v1/chat/completions", json!({ "messages": [message], "max_tokens": 1 })).await,
        ),
        ("/tokenize", api.post("/tokenize", json!({ "prompt": "hi" })).await),
        ("/detokenize", api.post("/detokenize", json!({ "tokens": [1, 2] })).await),
        ("/tokenizer_info", api.get("/tokenizer_info").await),
        ("/health", api.get("/health").await),
        ("/ping", api.get("/ping").await),
        ("/ready", api.get("/ready").await),
        ("/version", api.get("/version").await),
        ("/metrics", api.get("/metrics").await),
    ];
    let listed: Vec<&str> = answers.iter().map(|(path, _)| *path).collect();
    assert_eq!(listed, bedplate_inference::http::paths(), "list every endpoint here, in the router's order");
    for (path, reply) in &answers {
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    }
    assert_eq!(answers[0].1.body["data"][0]["id"], "tiny");
    assert_eq!(answers[1].1.body["object"], "model");
    assert_eq!(answers[10].1.body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_comes_back_and_is_made_where_there_is_none() {
    let served = Running::tiny();
    let get = || served.api.client.get(format!("{}/version", served.api.url));
    let given = served.api.send(get().header("x-request-id", "abc-1")).await;
    assert_eq!(given.headers["x-request-id"], "abc-1");
    let long = served.api.send(get().header("x-request-id", "x".repeat(500))).await;
    assert_eq!(long.headers["x-request-id"].len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_of_any_origin_are_let_in_only_where_the_job_says_so() {
    for allowed in [false, true] {
        let served = Running::with(|job| job.allow_any_origin = allowed);
        let get = served.api.client.get(format!("{}/v1/models", served.api.url)).header("origin", "http://page.test");
        assert_eq!(served.api.send(get).await.headers.contains_key("access-control-allow-origin"), allowed);
    }
}
