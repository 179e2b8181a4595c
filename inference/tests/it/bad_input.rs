//! Whatever is wrong with a request is told in OpenAI's shape, by field, before anything runs.

use serde_json::{Value, json};

use crate::fixture::{Reply, Running, write_tiny_model};

const CHAT: &str = "/v1/chat/completions";
const PLAIN: &str = "/v1/completions";

/// Path, what is added to a good request, and the field that the error must name.
fn rows() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (CHAT, json!({ "messages": [] }), "messages"),
        (CHAT, json!({ "messages": "hi" }), "messages"),
        (CHAT, json!({ "messages": null }), "messages"),
        (CHAT, json!({ "messages": [{ "role": "ghost", "content": "x" }] }), "messages[0].role"),
        (CHAT, json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (CHAT, json!({ "messages": [{ "role": "user", "content": 5 }] }), "messages[0].content"),
        (
            CHAT,
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages[0].content",
        ),
        (CHAT, json!({ "temperature": "hot" }), "temperature"),
        (CHAT, json!({ "temperature": -1 }), "temperature"),
        (CHAT, json!({ "temperature": 2.5 }), "temperature"),
        (CHAT, json!({ "top_p": 0 }), "top_p"),
        (CHAT, json!({ "top_k": -7 }), "top_k"),
        (CHAT, json!({ "min_p": 2 }), "min_p"),
        (CHAT, json!({ "n": 0 }), "n"),
        (CHAT, json!({ "n": 1.5 }), "n"),
        (CHAT, json!({ "seed": "x" }), "seed"),
        (CHAT, json!({ "seed": 1e20 }), "seed"),
        (CHAT, json!({ "truncation_side": "middle" }), "truncation_side"),
        (CHAT, json!({ "bad_words": [" "] }), "bad_words"),
        (CHAT, json!({ "min_tokens": 3 }), "min_tokens"),
        (CHAT, json!({ "max_tokens": 0 }), "max_tokens"),
        (CHAT, json!({ "max_tokens": -1 }), "max_tokens"),
        (CHAT, json!({ "max_completion_tokens": "many" }), "max_completion_tokens"),
        (CHAT, json!({ "stop": vec!["a"; 33] }), "stop"),
        (CHAT, json!({ "stop": "" }), "stop"),
        (CHAT, json!({ "stop": 3 }), "stop"),
        (CHAT, json!({ "stop": "x".repeat((64 << 10) + 1) }), "stop"),
        (CHAT, json!({ "presence_penalty": 3 }), "presence_penalty"),
        (CHAT, json!({ "frequency_penalty": -3 }), "frequency_penalty"),
        (CHAT, json!({ "repetition_penalty": 0 }), "repetition_penalty"),
        (CHAT, json!({ "logit_bias": { "999999": 1 } }), "logit_bias"),
        (CHAT, json!({ "logit_bias": { "1": 1000 } }), "logit_bias"),
        (CHAT, json!({ "top_logprobs": 2 }), "top_logprobs"),
        (CHAT, json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs"),
        (CHAT, json!({ "stream": "yes" }), "stream"),
        (CHAT, json!({ "stream_options": { "include_usage": true } }), "stream_options"),
        (CHAT, json!({ "response_format": { "type": "json_object" } }), "response_format"),
        (CHAT, json!({ "tools": [{ "type": "function" }] }), "tools"),
        (CHAT, json!({ "tool_choice": "required" }), "tool_choice"),
        (CHAT, json!({ "functions": [{}] }), "functions"),
        (CHAT, json!({ "modalities": ["audio"] }), "modalities"),
        (PLAIN, json!({ "prompt": "" }), "prompt"),
        (PLAIN, json!({ "prompt": [] }), "prompt"),
        (PLAIN, json!({ "prompt": null }), "prompt"),
        (PLAIN, json!({ "prompt": ["a", ""] }), "prompt"),
        (PLAIN, json!({ "prompt": [999_999] }), "prompt"),
        (PLAIN, json!({ "prompt": { "text": "a" } }), "prompt"),
        (PLAIN, json!({ "prompt": vec!["a"; 300] }), "prompt"),
        (PLAIN, json!({ "suffix": "end" }), "suffix"),
        (PLAIN, json!({ "best_of": 4 }), "best_of"),
        (PLAIN, json!({ "echo": true, "logprobs": 1 }), "echo"),
        (PLAIN, json!({ "logprobs": 99 }), "top_logprobs"),
        ("/tokenize", json!({ "prompt": 7 }), "prompt"),
        ("/tokenize", json!({ "prompt": null }), "prompt"),
        ("/detokenize", json!({ "tokens": [999_999] }), "tokens"),
        ("/detokenize", json!({ "tokens": "abc" }), "tokens"),
    ]
}

fn good(path: &str) -> Value {
    match path {
        CHAT => json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 2 }),
        PLAIN | "/tokenize" => json!({ "prompt": "hi", "max_tokens": 2 }),
        _ => json!({ "tokens": [1] }),
    }
}

fn assert_openai_shaped(reply: &Reply) {
    let error = &reply.body["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", reply.body);
    assert!(error["type"].is_string() && error.get("param").is_some() && error.get("code").is_some(), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_is_named() {
    let served = Running::tiny();
    for (path, change, param) in rows() {
        let mut body = good(path);
        assert_eq!(served.api.post(path, body.clone()).await.status, 200, "{path} must work without the mistake");
        for (field, value) in change.as_object().unwrap() {
            body[field] = value.clone();
        }
        let reply = served.api.post(path, body).await;
        assert_eq!(reply.status, 400, "{path} {change}: {}", reply.body);
        assert_openai_shaped(&reply);
        assert_eq!(reply.body["error"]["type"], "invalid_request_error");
        let named = reply.body["error"]["param"].as_str().unwrap_or_default();
        assert!(named.starts_with(param), "{change}: {}", reply.body);
        assert!(reply.headers.contains_key("x-request-id"));
    }
    assert_eq!(served.api.post(CHAT, good(CHAT)).await.status, 200, "and the server lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_ignored() {
    let served = Running::tiny();
    let mut body = good(CHAT);
    for (field, value) in [
        ("user", json!("u-1")),
        ("metadata", json!({ "a": "b" })),
        ("store", json!(false)),
        ("tools", json!([])),
        ("tool_choice", json!("auto")),
        ("response_format", json!({ "type": "text" })),
        ("stop", Value::Null),
        ("n", Value::Null),
    ] {
        body[field] = value;
    }
    assert_eq!(served.api.post(CHAT, body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_beyond_the_context_is_told_both_numbers() {
    let served = Running::with(|job| job.engine.max_model_len = Some(32));
    let body = json!({ "prompt": (1..41).collect::<Vec<u32>>(), "max_tokens": 1 });
    let reply = served.api.post(PLAIN, body).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("context_length_exceeded")));
    let message = reply.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("32 tokens") && message.contains("has 40"), "{message}");
    let reply = served.api.post(PLAIN, json!({ "prompt": [1, 2], "max_tokens": 31 })).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("context_length_exceeded")));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_is_not_found() {
    let served = Running::tiny();
    for path in [CHAT, PLAIN, "/tokenize", "/detokenize"] {
        let mut body = good(path);
        body["model"] = "gpt-9".into();
        let reply = served.api.post(path, body).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (404, &json!("model_not_found")), "{path}");
        assert_openai_shaped(&reply);
    }
    assert_eq!(served.api.get("/v1/models/gpt-9").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_bodies_that_make_no_request_are_told_so() {
    let served = Running::tiny();
    let (api, url) = (&served.api, &served.api.url);
    let raw = |body: Vec<u8>| api.send(api.client.post(format!("{url}{CHAT}")).body(body));
    let rows = [
        (404, api.get("/v1/nothing").await),
        (405, api.get(CHAT).await),
        (405, api.post("/v1/models", json!({})).await),
        (400, raw(b"{\"messages\": [".to_vec()).await),
        (400, raw(b"".to_vec()).await),
        (400, raw(b"[1, 2]".to_vec()).await),
        (400, raw(vec![0xff, 0xfe]).await),
        (413, raw(vec![b' '; (16 << 20) + 1]).await),
    ];
    for (status, reply) in rows {
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_openai_shaped(&reply);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_template_cannot_chat_but_completes() {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(&folder.path().join("base"), None);
    let served = Running::with(|job| job.model_uri = format!("file:{}", folder.path().join("base").display()));
    let reply = served.api.post(CHAT, good(CHAT)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("no chat template; use completions"));
    assert_eq!(served.api.post(PLAIN, good(PLAIN)).await.status, 200);
}
