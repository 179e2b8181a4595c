//! A model that computes NaN is told of as an error, to those whose input leads there and to nobody else.

use bedplate_inference::grpc::v1::{
    GenerateRequest, TokenIds, generate_request::Prompt, inference_client::InferenceClient,
};
use futures::StreamExt;
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;

use crate::fixture::{Running, assert_cut_off, completion, write_changed_model};

/// The token whose embedding is damaged.
const DAMAGED: u32 = 40;

/// A model that computes `value` for every text with the damaged token in it.
fn damaged(value: f32) -> (TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    // Were the embedding the head as well, the damaged row would reach every text.
    write_changed_model(
        &model,
        None,
        |config| config.tie_word_embeddings = false,
        |name, values| {
            if name.contains("embed_tokens") {
                values[DAMAGED as usize * 32..][..32].fill(value);
            }
        },
    );
    let served = Running::with(|job| job.model_uri = format!("file:{}", model.display()));
    (folder, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_that_are_nan_are_an_error_and_the_others_go_on() {
    let (_folder, served) = damaged(f32::NAN);
    let api = &served.api;
    let expected = api.complete(completion(vec![5, 6], 400)).await;
    let (other, broken, drawn) = tokio::join!(
        api.complete(completion(vec![5, 6], 400)),
        api.post("/v1/completions", completion(vec![5, DAMAGED], 4)),
        api.post("/v1/completions", json!({ "prompt": [DAMAGED], "temperature": 1.5, "logprobs": 3 })),
    );
    assert_eq!(other, expected);
    for reply in [broken, drawn] {
        assert_eq!((reply.status, &reply.body["error"]["code"]), (500, &json!("logits_not_finite")), "{}", reply.body);
        assert!(reply.body["error"]["message"].as_str().unwrap().contains("NaN"));
    }
    assert_eq!(api.metric("vllm:corrupted_requests_total").await, 2.0);
    assert_eq!(api.metric("vllm:request_success_total{engine=\"0\",finished_reason=\"error\"").await, 2.0);
    assert_eq!(api.get("/health").await.status, 200);
    api.await_metric("vllm:kv_cache_usage_perc", |value| value == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_nan_ends_with_an_error_event() {
    let (_folder, served) = damaged(f32::INFINITY);
    let mut body = completion(vec![DAMAGED], 4);
    body["stream"] = true.into();
    let request = served.api.client.post(format!("{}/v1/completions", served.api.url)).json(&body);
    assert_cut_off(&request.send().await.unwrap().text().await.unwrap(), "logits_not_finite");
    let prompt = Some(Prompt::Tokens(TokenIds { ids: vec![DAMAGED] }));
    let mut grpc = InferenceClient::connect(served.grpc_url.clone()).await.unwrap();
    let request = GenerateRequest { prompt, ..GenerateRequest::default() };
    let status = grpc.generate(request).await.unwrap().into_inner().next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}
