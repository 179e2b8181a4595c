//! A model named by an `hf://` uri, from the download to the answer, against a local server of the hub's protocol.

use serde_json::{Value, json};

use crate::{
    fixture::{Api, model_folder},
    hub_server::{self, Server},
    process::Process,
};

/// A repository that holds the tiny model, its weights in the hub's large-file store.
fn repository() -> Server {
    let read = |name| std::fs::read(model_folder().join(name)).unwrap();
    let side_files = ["config.json", "tokenizer.json", "tokenizer_config.json"].map(|name| (name, read(name), None));
    let weights = read("model.safetensors");
    let hash = hub_server::sha256(&weights);
    Server::start(side_files.into_iter().chain([("model.safetensors", weights, Some(hash))]))
}

async fn greedy_answer(process: &mut Process) -> Value {
    let body = json!({ "prompt": "the quick", "max_tokens": 12, "temperature": 0 });
    let reply = Api::new(process.url()).post("/v1/completions", body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["choices"][0]["text"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_the_hub_is_fetched_across_a_break_served_and_found_again_in_the_cache() {
    let expected = greedy_answer(&mut Process::start(|_| {})).await;
    let hub = repository();
    let cache = tempfile::tempdir().unwrap();
    let start = || {
        Process::with_environment(&[("HF_ENDPOINT", &hub.url)], |job| {
            job.model_uri = "hf://org/model".to_owned();
            job.cache_dir = cache.path().to_path_buf();
        })
    };
    hub.break_after(10_000);
    assert_eq!(greedy_answer(&mut start()).await, expected);
    assert!(hub.resumed(), "the rest of the weights was asked for with a range");
    let sent = hub.bytes_sent("model.safetensors");
    assert_eq!(greedy_answer(&mut start()).await, expected);
    assert_eq!(hub.bytes_sent("model.safetensors"), sent, "the second start downloads nothing");
}

#[test]
fn a_repository_that_is_not_there_ends_the_server_with_its_name_and_the_remedy() {
    let hub = repository();
    let cache = tempfile::tempdir().unwrap();
    let mut process = Process::with_environment(&[("HF_ENDPOINT", &hub.url)], |job| {
        job.model_uri = "hf://org/other".to_owned();
        job.cache_dir = cache.path().to_path_buf();
    });
    // The same listing fails while the network is away, so it is tried again.
    assert_eq!(process.wait().code(), Some(10));
    let message = process.failure();
    assert!(message.contains("org/other") && message.contains("HF_TOKEN"), "{message}");
}
