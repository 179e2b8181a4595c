//! Every metric that dashboards and autoscalers know is there, with its labels, and moves.

use serde_json::json;

use crate::fixture::{Running, completion};

const NAMES: [&str; 23] = [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "num_preemptions_total",
    "prompt_tokens_total",
    "generation_tokens_total",
    "admission_rejections_total",
    "corrupted_requests_total",
    "request_success_total",
    "iteration_tokens_total",
    "request_prompt_tokens",
    "request_generation_tokens",
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_time_per_output_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_inference_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
    "cache_config_info",
];

#[tokio::test(flavor = "multi_thread")]
async fn vllms_names_are_there_with_the_models_label() {
    let served = Running::tiny();
    let text = served.api.get_text("/metrics").await;
    for name in NAMES {
        assert!(text.contains(&format!("# TYPE vllm:{name} ")), "{name} is missing in {text}");
        let line = text.lines().find(|line| line.starts_with(&format!("vllm:{name}"))).unwrap();
        assert!(line.contains("model_name=\"tiny\"") && line.contains("engine=\"0\""), "{line}");
    }
    for label in ["stop", "length", "abort", "error"] {
        assert!(text.contains(&format!("finished_reason=\"{label}\"")));
    }
    assert!(text.contains("vllm:time_to_first_token_seconds_bucket") && text.contains("le=\"2560\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_histograms_count_what_was_done() {
    let served = Running::tiny();
    let prompt: Vec<u32> = (1..50).collect();
    for _ in 0..2 {
        served.api.complete(completion(json!(prompt), 10)).await;
    }
    let expected = [
        ("vllm:prompt_tokens_total", 98.0),
        ("vllm:generation_tokens_total", 20.0),
        ("vllm:prefix_cache_queries_total", 98.0),
        ("vllm:prefix_cache_hits_total", 48.0),
        ("vllm:request_success_total{engine=\"0\",finished_reason=\"length\"", 2.0),
        ("vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"", 0.0),
        ("vllm:time_to_first_token_seconds_count", 2.0),
        ("vllm:inter_token_latency_seconds_count", 18.0),
        ("vllm:e2e_request_latency_seconds_count", 2.0),
        ("vllm:request_queue_time_seconds_count", 2.0),
        ("vllm:request_prefill_time_seconds_count", 2.0),
        ("vllm:request_decode_time_seconds_count", 2.0),
        ("vllm:request_prompt_tokens_sum", 98.0),
        ("vllm:request_generation_tokens_sum", 20.0),
    ];
    for (name, value) in expected {
        assert_eq!(served.api.metric(name).await, value, "{name}");
    }
    assert!(served.api.metric("vllm:e2e_request_latency_seconds_sum").await > 0.0);
}
