//! The gRPC twin says what HTTP says, token for token, and refuses what HTTP refuses.

use bedplate_inference::grpc::v1::{
    ChatMessage, ChatRequest, FinishReason, GenerateRequest, GenerateResponse, GenerationOptions, ListModelsRequest,
    TokenIds, TruncationSide, generate_request::Prompt, inference_client::InferenceClient,
};
use futures::StreamExt;
use serde_json::json;
use tonic::{Code, Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::fixture::{Running, completion};

async fn client(served: &Running) -> InferenceClient<Channel> {
    InferenceClient::connect(served.grpc_url.clone()).await.unwrap()
}

fn options(max_tokens: u64) -> GenerationOptions {
    GenerationOptions {
        max_tokens: Some(max_tokens),
        temperature: Some(0.0),
        ignore_eos: Some(true),
        ..GenerationOptions::default()
    }
}

fn generate(text: &str, options: GenerationOptions) -> GenerateRequest {
    GenerateRequest { model: String::new(), prompt: Some(Prompt::Text(text.into())), options: Some(options) }
}

async fn collect(mut stream: Streaming<GenerateResponse>) -> (String, GenerateResponse) {
    let (mut text, mut last) = (String::new(), GenerateResponse::default());
    while let Some(piece) = stream.next().await {
        last = piece.unwrap();
        text.push_str(&last.text);
    }
    (text, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_continued_as_over_http() {
    let served = Running::tiny();
    let mut grpc = client(&served).await;
    for prompt in ["the quick", "schöne grüße"] {
        let expected = served.api.complete(completion(prompt, 30)).await;
        let (text, last) = collect(grpc.generate(generate(prompt, options(30))).await.unwrap().into_inner()).await;
        assert_eq!(text, expected);
        assert_eq!(last.finish_reason(), FinishReason::Length);
        assert_eq!(last.usage.unwrap().completion_tokens, 30);
    }
    let tokens =
        GenerateRequest { prompt: Some(Prompt::Tokens(TokenIds { ids: vec![5, 6] })), ..generate("", options(9)) };
    let (text, _) = collect(grpc.generate(tokens).await.unwrap().into_inner()).await;
    assert_eq!(text, served.api.complete(completion(vec![5, 6], 9)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_answered_as_over_http() {
    let served = Running::tiny();
    let body = json!({
        "messages": [{ "role": "user", "content": "the fox" }], "max_tokens": 20, "temperature": 1, "seed": 11,
        "ignore_eos": true, "stop": ["zz"],
    });
    let answer = served.api.ask("/v1/chat/completions", body).await;
    let request = ChatRequest {
        model: "tiny".into(),
        messages: vec![ChatMessage { role: "user".into(), content: "the fox".into() }],
        options: Some(GenerationOptions {
            temperature: Some(1.0),
            seed: Some(11),
            stop: vec!["zz".into()],
            top_logprobs: Some(2),
            ..options(20)
        }),
        ..ChatRequest::default()
    };
    let (text, last) = collect(client(&served).await.chat(request).await.unwrap().into_inner()).await;
    assert_eq!(answer["choices"][0]["message"]["content"], text);
    assert!(last.tokens.iter().all(|token| token.logprob.is_some() && token.top_logprobs.len() == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_beyond_openais_do_what_they_do_over_http() {
    let served = Running::tiny();
    let mut grpc = client(&served).await;
    let fields = GenerationOptions {
        stop_token_ids: vec![41],
        allowed_token_ids: vec![40, 41, 42],
        bad_words: vec!["zz".into()],
        min_tokens: Some(3),
        skip_special_tokens: Some(false),
        include_stop_str_in_output: Some(true),
        truncate_prompt_tokens: Some(2),
        truncation_side: TruncationSide::Right.into(),
        seed: Some(5),
        temperature: Some(1.5),
        ..options(20)
    };
    let mut body = completion("the quick brown", 20);
    for (name, value) in [
        ("stop_token_ids", json!([41])),
        ("allowed_token_ids", json!([40, 41, 42])),
        ("bad_words", json!(["zz"])),
        ("min_tokens", json!(3)),
        ("skip_special_tokens", json!(false)),
        ("include_stop_str_in_output", json!(true)),
        ("truncate_prompt_tokens", json!(2)),
        ("truncation_side", json!("right")),
        ("seed", json!(5)),
        ("temperature", json!(1.5)),
    ] {
        body[name] = value;
    }
    let answer = served.api.ask("/v1/completions", body).await;
    let stream = grpc.generate(generate("the quick brown", fields)).await.unwrap().into_inner();
    let (text, last) = collect(stream).await;
    assert_eq!(answer["choices"][0]["text"], text);
    let usage = last.usage.unwrap();
    assert_eq!(json!([usage.prompt_tokens, usage.completion_tokens]), json!([2, answer["usage"]["completion_tokens"]]));
    let wrong = GenerationOptions { truncation_side: 7, ..options(1) };
    let status = grpc.generate(generate("x", wrong)).await.expect_err("there is no seventh side");
    assert!(status.message().contains("truncation_side"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_https_in_grpcs_codes() {
    let served = Running::with(|job| job.engine.max_model_len = Some(32));
    let mut grpc = client(&served).await;
    let rows = [
        (
            generate("x", GenerationOptions { temperature: Some(-1.0), ..options(1) }),
            Code::InvalidArgument,
            "temperature",
        ),
        (generate("x", options(99)), Code::OutOfRange, "32 tokens"),
        (GenerateRequest { model: "other".into(), ..generate("x", options(1)) }, Code::NotFound, "`other`"),
        (GenerateRequest { prompt: None, ..generate("x", options(1)) }, Code::InvalidArgument, "prompt"),
    ];
    for (request, code, words) in rows {
        let status = grpc.generate(request).await.expect_err("this must be refused");
        assert_eq!(status.code(), code);
        assert!(status.message().contains(words), "{status:?}");
    }
    let status = grpc.chat(ChatRequest::default()).await.expect_err("there are no messages");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_frees_its_blocks() {
    let served = Running::tiny();
    let mut stream = client(&served).await.generate(generate("the", options(60000))).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    assert!(served.api.metric("vllm:kv_cache_usage_perc").await > 0.0);
    drop(stream);
    served.api.await_metric("vllm:kv_cache_usage_perc", |value| value == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_health_are_told() {
    let served = Running::tiny();
    let models = client(&served).await.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!((models.len(), models[0].id.as_str()), (1, "tiny"));
    assert_eq!(models[0].eos_token_ids, served.service.tokenizer.eos_token_ids());
    let channel = Channel::from_shared(served.grpc_url.clone()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let service = "bedplate.inference.v1.Inference".to_owned();
    let status = health.check(HealthCheckRequest { service }).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
}
