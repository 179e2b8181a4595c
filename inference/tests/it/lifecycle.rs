//! Starting, draining and failing.

use std::time::Duration;

use bedplate_crds::{job::InferenceJob, model_deployment::ServingDtype};
use bedplate_inference::{
    grpc::v1::{
        GenerateRequest as GrpcRequest, GenerationOptions, generate_request::Prompt, inference_client::InferenceClient,
    },
    request::GenerateRequest,
    sampling::SamplingParams,
    serve::{HubAccess, ServeError, Server},
};
use futures::StreamExt;
use serde_json::json;
use tonic::Code;

use crate::fixture::{Running, assert_cut_off, completion, job, model_folder};

fn refusal(change: impl FnOnce(&mut InferenceJob)) -> ServeError {
    let mut job = job(&model_folder());
    change(&mut job);
    Server::start(&job, HubAccess::default()).expect_err("this must be refused")
}

fn chain(error: &ServeError) -> String {
    bedplate_telemetry::chain::Chain(error).to_string()
}

#[test]
fn a_taken_port_is_told_by_field_and_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = refusal(|job| job.http_address = address.clone());
    assert!(chain(&error).contains(&format!("httpAddress {address}")), "{}", chain(&error));
    assert_eq!(error.exit_code().code(), 10);
    let error = refusal(|job| job.grpc_address = Some(address.clone()));
    assert!(chain(&error).contains("grpcAddress"));
    assert!(chain(&refusal(|job| job.http_address = "nonsense".into())).contains("httpAddress nonsense"));
}

#[test]
fn models_that_cannot_be_served_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        format!("file:{}", folder.path().join(name).display())
    };
    let rows = [
        ("file:/no/such/model".to_owned(), "does not exist", 11),
        ("model".to_owned(), "model uris start with", 11),
        (file("weights.bin", b"x"), "neither a folder nor a .gguf file", 11),
        (file("torn.gguf", b"GGUF\x03\0\0\0"), "torn.gguf", 16),
        (file("noise.gguf", b"not at all"), "not a GGUF file", 16),
        (format!("file:{}", folder.path().display()), "tokenizer.json", 11),
    ];
    for (uri, words, code) in rows {
        let error = refusal(|job| job.model_uri = uri.clone());
        assert!(chain(&error).contains(words), "{uri}: {}", chain(&error));
        assert_eq!(error.exit_code().code(), code, "{uri}: {}", chain(&error));
    }
}

#[test]
fn torn_weights_are_corrupt_data() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        std::fs::copy(model_folder().join(name), folder.path().join(name)).unwrap();
    }
    let weights = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    let error = refusal(|job| job.model_uri = format!("file:{}", folder.path().display()));
    assert_eq!(error.exit_code().code(), 16, "{}", chain(&error));
}

#[test]
fn limits_that_do_not_fit_are_refused_with_numbers() {
    let error = refusal(|job| job.engine.max_model_len = Some(1 << 20));
    assert!(chain(&error).contains("engine.maxModelLen is 1048576") && error.exit_code().code() == 11);
    let error = refusal(|job| job.kv_cache_bytes = 1 << 16);
    assert!(chain(&error).contains("65536 bytes") && error.exit_code().code() == 12, "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_as_f32_answer_too() {
    let served = Running::with(|job| job.engine.dtype = ServingDtype::Float32);
    assert_eq!(
        served.api.complete(completion("the", 3)).await,
        Running::tiny().api.complete(completion("the", 3)).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let mut served = Running::tiny();
    let mut body = completion("the quick", 3000);
    let whole = served.api.complete(body.clone()).await;
    body["stream"] = true.into();
    let url = format!("{}/v1/completions", served.api.url);
    let mut stream = served.api.client.post(url.clone()).json(&body).send().await.unwrap().bytes_stream();
    let mut bytes = stream.next().await.unwrap().unwrap().to_vec();
    served.stop();
    while let Some(more) = stream.next().await {
        bytes.extend_from_slice(&more.unwrap());
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let chunks = text
        .split("\n\n")
        .filter_map(|event| serde_json::from_str::<serde_json::Value>(event.strip_prefix("data: ")?).ok());
    let streamed: String = chunks.map(|chunk| chunk["choices"][0]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(streamed, whole);
    served.served.await.unwrap().unwrap();
    assert!(reqwest::Client::new().post(url).json(&body).send().await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_over_in_bounded_time_and_what_it_cuts_off_says_so() {
    let mut served = Running::draining(|_| {}, Duration::from_millis(50));
    let mut body = completion("the quick", 60000);
    let api = served.api.clone();
    let whole = tokio::spawn({
        let (api, body) = (api.clone(), body.clone());
        async move { api.post("/v1/completions", body).await }
    });
    body["stream"] = true.into();
    let stream = api.client.post(format!("{}/v1/completions", api.url)).json(&body).send().await.unwrap();
    let mut grpc = InferenceClient::connect(served.grpc_url.clone()).await.unwrap();
    let options = GenerationOptions { max_tokens: Some(60000), ignore_eos: Some(true), ..GenerationOptions::default() };
    let request =
        GrpcRequest { model: String::new(), prompt: Some(Prompt::Text("the quick".into())), options: Some(options) };
    let calls = grpc.generate(request).await.unwrap().into_inner();
    api.await_metric("vllm:num_requests_running", |value| value == 3.0).await;
    served.stop();
    let (whole, streamed, called) = tokio::join!(whole, stream.text(), calls.collect::<Vec<_>>());
    let whole = whole.unwrap();
    assert_eq!((whole.status, &whole.body["error"]["code"]), (503, &json!("shutting_down")));
    assert_eq!(whole.headers["retry-after"], "1");
    assert_cut_off(&streamed.unwrap(), "shutting_down");
    let last = called.last().unwrap().as_ref().unwrap_err();
    assert_eq!(last.code(), Code::Unavailable);
    served.served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_answers_everybody_and_turns_health_bad() {
    let served = Running::tiny();
    assert_eq!(served.api.get("/health").await.status, 200);
    let api = served.api.clone();
    let victim = tokio::spawn(async move { api.post("/v1/completions", completion("the quick", 60000)).await });
    let mut body = completion("the lazy", 60000);
    body["stream"] = true.into();
    let url = format!("{}/v1/completions", served.api.url);
    let stream = served.api.client.post(url).json(&body).send().await.unwrap();
    served.api.await_metric("vllm:num_requests_running", |value| value == 2.0).await;
    // A token outside the vocabulary, which the border would have refused: the engine asserts on it.
    let broken = GenerateRequest {
        prompt: vec![u32::MAX],
        max_tokens: 1,
        sampling: SamplingParams::default(),
        stop_token_ids: Vec::new(),
        text: Default::default(),
        top_logprobs: None,
        ignore_eos: false,
    };
    let mut tokens = served.service.engine.submit(broken).unwrap();
    assert_eq!(tokens.recv().await, None);
    let reply = victim.await.unwrap();
    assert_eq!((reply.status, &reply.body["error"]["code"]), (500, &json!("engine_failed")));
    assert_cut_off(&stream.text().await.unwrap(), "engine_failed");
    served.api.await_metric("vllm:num_requests_running", |value| value == 0.0).await;
    assert_eq!(served.api.get("/health").await.status, 503);
    let reply = served.api.post("/v1/completions", completion("x", 1)).await;
    assert_eq!(reply.status, 500);
    assert_eq!(served.api.metric("vllm:request_success_total{engine=\"0\",finished_reason=\"error\"").await, 2.0);
}
