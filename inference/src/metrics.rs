//! Prometheus metrics in vLLM's names, buckets and labels, so that dashboards and autoscalers made for it work.
//!
//! Source of names and buckets: vllm 0.33.0, `vllm/v1/metrics/loggers.py`. Owns the registry; decides nothing.

mod request;

use std::collections::HashMap;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::Collector,
};

pub use request::RequestTimes;

use crate::engine_thread::{EngineHandle, FinishReason};

/// Seconds to the first token.
const TIME_TO_FIRST_TOKEN: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
/// Seconds between tokens.
const INTER_TOKEN_LATENCY: [f64; 19] =
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
/// Seconds of a request or a part of it.
const REQUEST_LATENCY: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
];
/// Tokens of a step.
const ITERATION_TOKENS: [f64; 15] =
    [1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0];

/// Sizes that dashboards divide by.
#[derive(Clone, Copy, Debug)]
pub struct CacheSizes {
    /// Tokens of a block.
    pub block_size: usize,
    /// Blocks of the KV cache.
    pub num_blocks: usize,
}

/// Why a request was sent away for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// As many sequences wait as may.
    QueueFull,
    /// Requests that are being read hold as many bytes as they may.
    RequestBytes,
}

impl Rejection {
    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RequestBytes => "request_bytes",
        }
    }
}

/// All metrics of one served model.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    num_requests_running: IntGauge,
    num_requests_waiting: IntGauge,
    kv_cache_usage: Gauge,
    prefix_cache_queries: IntCounter,
    prefix_cache_hits: IntCounter,
    num_preemptions: IntCounter,
    prompt_tokens: IntCounter,
    generation_tokens: IntCounter,
    admission_rejections: IntCounterVec,
    corrupted_requests: IntCounter,
    request_success: IntCounterVec,
    iteration_tokens: Histogram,
    request_prompt_tokens: Histogram,
    request_generation_tokens: Histogram,
    time_to_first_token: Histogram,
    inter_token_latency: Histogram,
    time_per_output_token: Histogram,
    e2e_request_latency: Histogram,
    request_queue_time: Histogram,
    request_inference_time: Histogram,
    request_prefill_time: Histogram,
    request_decode_time: Histogram,
}

impl Metrics {
    /// Metrics labelled with `model_name`; answers are at most `max_model_len` tokens.
    pub fn new(model_name: &str, max_model_len: usize, sizes: CacheSizes) -> Self {
        let make = Maker { registry: Registry::new(), model_name: model_name.to_owned() };
        let lengths = one_two_five(max_model_len);
        make.cache_config_info(sizes);
        Self {
            num_requests_running: make.int_gauge("num_requests_running", "Sequences that hold KV cache blocks"),
            num_requests_waiting: make.int_gauge("num_requests_waiting", "Sequences that wait to run"),
            kv_cache_usage: make.gauge("kv_cache_usage_perc", "Share of the KV cache blocks in use; 1 is all"),
            prefix_cache_queries: make.counter("prefix_cache_queries_total", "Prompt tokens looked up"),
            prefix_cache_hits: make.counter("prefix_cache_hits_total", "Prompt tokens found in the prefix cache"),
            num_preemptions: make.counter("num_preemptions_total", "Sequences that lost their blocks"),
            prompt_tokens: make.counter("prompt_tokens_total", "Prompt tokens processed"),
            generation_tokens: make.counter("generation_tokens_total", "Tokens generated"),
            admission_rejections: make.rejections(),
            corrupted_requests: make.counter("corrupted_requests_total", "Requests for which the model computed NaN"),
            request_success: make.request_success(),
            iteration_tokens: make.histogram("iteration_tokens_total", "Tokens of a step", &ITERATION_TOKENS),
            request_prompt_tokens: make.histogram("request_prompt_tokens", "Prompt tokens of a request", &lengths),
            request_generation_tokens: make.histogram("request_generation_tokens", "Tokens of an answer", &lengths),
            time_to_first_token: make.histogram(
                "time_to_first_token_seconds",
                "From arrival to first token",
                &TIME_TO_FIRST_TOKEN,
            ),
            inter_token_latency: make.histogram(
                "inter_token_latency_seconds",
                "Between two tokens of an answer",
                &INTER_TOKEN_LATENCY,
            ),
            time_per_output_token: make.histogram(
                "request_time_per_output_token_seconds",
                "Mean time between the tokens of an answer",
                &INTER_TOKEN_LATENCY,
            ),
            e2e_request_latency: make.latency("e2e_request_latency_seconds", "From arrival to last token"),
            request_queue_time: make.latency("request_queue_time_seconds", "From arrival to the first step"),
            request_inference_time: make.latency("request_inference_time_seconds", "From first step to last token"),
            request_prefill_time: make.latency("request_prefill_time_seconds", "From first step to first token"),
            request_decode_time: make.latency("request_decode_time_seconds", "From first token to last token"),
            registry: make.registry,
        }
    }

    /// One prompt was looked up in the prefix cache.
    pub fn prefix_lookup(&self, tokens: usize, hits: usize) {
        self.prefix_cache_queries.inc_by(tokens as u64);
        self.prefix_cache_hits.inc_by(hits as u64);
    }

    /// One step was scheduled.
    pub fn step(&self, tokens: usize, preemptions: usize) {
        self.num_preemptions.inc_by(preemptions as u64);
        if tokens > 0 {
            self.iteration_tokens.observe(tokens as f64);
        }
    }

    /// A whole prompt has been computed.
    pub fn prompt_computed(&self, tokens: usize) {
        self.prompt_tokens.inc_by(tokens as u64);
    }

    /// A token has been generated.
    pub fn generated_token(&self) {
        self.generation_tokens.inc();
    }

    /// A request was sent away for now.
    pub fn rejected(&self, reason: Rejection) {
        self.admission_rejections.with_label_values(&[reason.label()]).inc();
    }

    /// A request failed because its logits are no numbers that can be drawn from.
    pub fn corrupted(&self) {
        self.corrupted_requests.inc();
    }

    /// Everything in Prometheus' text format, with the engine's figures of this moment.
    pub fn render(&self, engine: &EngineHandle) -> String {
        let state = engine.state();
        self.num_requests_running.set(state.num_running as i64);
        self.num_requests_waiting.set(engine.num_waiting() as i64);
        self.kv_cache_usage.set(state.kv_cache_usage);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory takes every byte");
        String::from_utf8(text).expect("names and labels are text")
    }
}

/// How `request_success_total` calls the ends of a request.
pub(crate) fn reason_label(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

/// Registers metrics with the labels that all of them carry.
struct Maker {
    registry: Registry,
    model_name: String,
}

impl Maker {
    fn register<T: Collector + Clone + 'static>(&self, metric: prometheus::Result<T>) -> T {
        let metric = metric.expect("names and labels are well-formed");
        self.registry.register(Box::new(metric.clone())).expect("no two metrics have one name");
        metric
    }

    fn labels(&self) -> HashMap<String, String> {
        [("model_name", self.model_name.as_str()), ("engine", "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("vllm:{name}"), help).const_labels(self.labels())
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(self.opts(name, help)))
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::with_opts(self.opts(name, help)))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(self.opts(name, help)))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts { common_opts: self.opts(name, help), buckets: buckets.to_vec() };
        self.register(Histogram::with_opts(opts))
    }

    fn latency(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &REQUEST_LATENCY)
    }

    fn rejections(&self) -> IntCounterVec {
        let reasons = [Rejection::QueueFull, Rejection::RequestBytes].map(Rejection::label);
        self.counters("admission_rejections_total", "Requests answered 429", "reason", &reasons)
    }

    fn request_success(&self) -> IntCounterVec {
        let reasons = ["stop", "length", "abort", "error"];
        self.counters("request_success_total", "Requests by how they ended", "finished_reason", &reasons)
    }

    /// One counter for each of `values`, present from the start, so that a rate over them has a first value.
    fn counters(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let counter = self.register(IntCounterVec::new(self.opts(name, help), &[label]));
        values.iter().for_each(|value| counter.with_label_values(&[*value]).inc_by(0));
        counter
    }

    fn cache_config_info(&self, sizes: CacheSizes) {
        let opts = self
            .opts("cache_config_info", "Sizes of the KV cache")
            .const_label("block_size", sizes.block_size.to_string())
            // What routers read, whatever the device is; vLLM's CPU backend does the same.
            .const_label("num_gpu_blocks", sizes.num_blocks.to_string());
        self.register(IntGauge::with_opts(opts)).set(1);
    }
}

/// 1, 2, 5, 10, 20, ... up to `most`: vLLM's buckets for lengths.
fn one_two_five(most: usize) -> Vec<f64> {
    let decades = (0..).map(|power| 10_usize.pow(power));
    decades
        .flat_map(|decade| [1, 2, 5].map(|step| step * decade))
        .take_while(|bound| *bound <= most.max(1))
        .map(|bound| bound as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_buckets_end_at_the_longest_answer() {
        assert_eq!(one_two_five(64), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(one_two_five(0), [1.0]);
    }
}
