//! Prompts of megabytes are refused with the numbers, and nobody else notices that they came.

use std::time::{Duration, Instant};

use bedplate_inference::grpc::v1::{
    ChatMessage, ChatRequest, GenerateRequest, generate_request::Prompt, inference_client::InferenceClient,
};
use futures::{StreamExt, future::join_all};
use serde_json::{Value, json};
use tonic::Code;

use crate::fixture::{Reply, Running, completion};

const MEGABYTES_15: usize = 15_000_000;
/// What a probe may take while the machine has other work; alone, it takes about a millisecond.
const PROMPT_ANSWER: Duration = Duration::from_secs(2);

/// Bodies of 15 MB, each with the field that is at fault.
fn big_bodies() -> [(&'static str, Value, &'static str); 4] {
    let text = " ".repeat(MEGABYTES_15);
    let messages = json!([{ "role": "user", "content": text }]);
    [
        ("/v1/completions", json!({ "prompt": text, "max_tokens": 1 }), "prompt"),
        ("/v1/chat/completions", json!({ "messages": messages }), "messages"),
        ("/tokenize", json!({ "prompt": "a".repeat(MEGABYTES_15) }), "prompt"),
        ("/tokenize", json!({ "messages": messages }), "messages"),
    ]
}

fn assert_sent_away(reply: &Reply, param: &str) {
    let message = reply.body["error"]["message"].as_str().unwrap_or_default();
    match reply.status {
        400 => {
            assert_eq!(reply.body["error"]["code"], "context_length_exceeded", "{message}");
            assert_eq!(reply.body["error"]["param"], param);
            assert!(message.contains("256 tokens") && message.contains("has 15"), "{message}");
        }
        429 => {
            assert_eq!(
                (&reply.body["error"]["code"], &reply.headers["retry-after"]),
                (&json!("intake_full"), &"1".parse().unwrap())
            );
            assert!(message.contains("67108864 bytes"), "{message}");
        }
        other => panic!("{other}: {message}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_streams_go_on_behind_sixteen_prompts_of_15_megabytes() {
    let served = Running::with(|job| job.engine.max_model_len = Some(256));
    let api = &served.api;
    let requests = big_bodies().map(|(path, body, param)| (format!("{}{path}", api.url), body.to_string(), param));
    let sending = requests.iter().cycle().take(16).map(|(url, body, param)| async move {
        let reply = api.send(api.client.post(url.as_str()).body(body.clone())).await;
        assert_sent_away(&reply, param);
        reply.status
    });
    let (sender, mut sent) = tokio::sync::watch::channel(false);
    let watching = async {
        let mut worst = Duration::ZERO;
        while !*sent.borrow_and_update() {
            let begun = Instant::now();
            assert_eq!(api.get("/health").await.status, 200);
            assert!(api.get_text("/metrics").await.contains("vllm:"));
            assert_eq!(api.post("/v1/completions", completion("the", 2)).await.status, 200);
            worst = worst.max(begun.elapsed());
        }
        worst
    };
    let sending = async {
        let statuses = join_all(sending).await;
        sender.send(true).unwrap();
        statuses
    };
    let (statuses, worst) = tokio::join!(sending, watching);
    assert!(statuses.contains(&400), "some are read, and refused for what they are: {statuses:?}");
    assert!(worst < PROMPT_ANSWER, "a probe took {worst:?}");
    let refused = statuses.iter().filter(|status| **status == 429).count();
    let counted =
        api.metric("vllm:admission_rejections_total{engine=\"0\",model_name=\"tiny\",reason=\"request_bytes\"").await;
    assert_eq!(counted, refused as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_names_the_limit() {
    let served = Running::with(|job| job.engine.max_model_len = Some(256));
    for (path, body, param) in big_bodies() {
        let reply = served.api.post(path, body).await;
        assert_eq!(reply.status, 400, "{path} {}", reply.body);
        assert_sent_away(&reply, param);
    }
    // A text that passes the bound is told its tokens.
    let reply = served.api.post("/v1/completions", json!({ "prompt": "ab".repeat(300) })).await;
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("the prompt has "), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_names_the_limit_too() {
    let served = Running::with(|job| job.engine.max_model_len = Some(256));
    let mut grpc = InferenceClient::connect(served.grpc_url.clone()).await.unwrap();
    // The largest that a gRPC message may be is 4 MiB.
    let text = "a".repeat(3_000_000);
    let prompt = Some(Prompt::Text(text.clone()));
    let plain = grpc.generate(GenerateRequest { prompt, ..GenerateRequest::default() }).await.unwrap_err();
    let messages = vec![ChatMessage { role: "user".into(), content: text }];
    let chat = grpc.chat(ChatRequest { messages, ..ChatRequest::default() }).await.unwrap_err();
    for status in [plain, chat] {
        assert_eq!(status.code(), Code::OutOfRange);
        assert!(status.message().contains("256 tokens"), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_read_and_bounded_alike() {
    let served = Running::with(|job| job.engine.max_model_len = Some(256));
    let (api, url) = (&served.api, format!("{}/v1/completions", served.api.url));
    let chunked = |body: Value| {
        let pieces: Vec<_> = body.to_string().into_bytes().chunks(1 << 16).map(<[u8]>::to_vec).collect();
        let pieces = futures::stream::iter(pieces).map(Ok::<_, std::io::Error>);
        api.send(api.client.post(&url).body(reqwest::Body::wrap_stream(pieces)))
    };
    assert_eq!(chunked(completion("the", 2)).await.status, 200);
    assert_sent_away(&chunked(json!({ "prompt": " ".repeat(MEGABYTES_15) })).await, "prompt");
    let reply = chunked(json!({ "prompt": " ".repeat((16 << 20) + 1) })).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (413, &json!("body_too_large")));
}
