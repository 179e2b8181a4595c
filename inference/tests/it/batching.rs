//! The answer to a request is a matter between it and the model: who else is served at the same time changes nothing.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::fixture::{Direct, Running, completion};

const PROMPTS: [&str; 6] =
    ["the quick brown", "schöne grüße", "fn main() {", "日本語の", "the lazy dog and the quick brown fox jumps", "x"];

/// A mix of greedy and drawn requests of different lengths.
fn mixed_requests() -> Vec<Value> {
    (0..24)
        .map(|index| {
            let mut body = completion(PROMPTS[index % PROMPTS.len()], 5 + 7 * index as u32 % 60);
            if index % 2 == 1 {
                body["temperature"] = 0.9.into();
                body["top_p"] = 0.95.into();
                body["seed"] = (index as u64).into();
            }
            body
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batched_equals_alone_under_mixed_load_with_preemption() {
    let alone = Running::with(|job| job.engine.max_num_seqs = 1);
    // Room for about three of these sequences, so that some lose their blocks on the way; long prompts come in chunks.
    let crowded = Running::with(|job| {
        job.engine.max_num_seqs = 8;
        job.engine.max_num_batched_tokens = 9;
        job.engine.max_model_len = Some(96);
        job.kv_cache_bytes = 12 * 2048;
    });
    let mut expected = Vec::new();
    for body in mixed_requests() {
        expected.push(alone.api.complete(body).await);
    }
    let answers = join_all(mixed_requests().into_iter().map(|body| crowded.api.complete(body))).await;
    assert_eq!(answers, expected);
    assert!(crowded.api.metric("vllm:num_preemptions_total").await > 0.0, "the cache was too large to be a test");
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_takes_the_likeliest_token_of_the_engines_logits() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    for prompt in PROMPTS {
        let tokens = direct.tokenizer.encode(prompt, true).unwrap();
        let expected = direct.tokenizer.decode(&direct.greedy(&tokens, 24), true);
        assert_eq!(served.api.complete(completion(prompt, 24)).await, expected, "{prompt}");
        assert_eq!(served.api.complete(completion(tokens, 24)).await, expected, "{prompt} as tokens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_answer_again_and_no_seed_another() {
    let served = Running::tiny();
    let drawn = |seed: Value| {
        let mut body = completion("the quick", 40);
        body["temperature"] = 1.5.into();
        body["seed"] = seed;
        served.api.complete(body)
    };
    assert_eq!(drawn(json!(3)).await, drawn(json!(3)).await);
    assert_ne!(drawn(json!(3)).await, drawn(json!(4)).await);
    assert_ne!(drawn(Value::Null).await, drawn(Value::Null).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_prompt_finds_the_first_ones_prefix() {
    let served = Running::tiny();
    let prompt: Vec<u32> = (1..100).collect();
    let usage = |body: Value| body["usage"].clone();
    let first = served.api.ask("/v1/completions", completion(prompt.clone(), 4)).await;
    let second = served.api.ask("/v1/completions", completion(prompt, 4)).await;
    assert_eq!(usage(first.clone())["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(usage(second.clone())["prompt_tokens_details"]["cached_tokens"], 96);
    assert_eq!(first["choices"], second["choices"]);
}
