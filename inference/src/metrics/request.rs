//! The times of one request, from its arrival to its end, and what is recorded of them.
//!
//! Measured where the tokens are read, so that they are what a client sees of the server.

use std::{sync::Arc, time::Instant};

use super::{Metrics, reason_label};
use crate::engine_thread::FinishReason;

/// A request's clock. Dropped without an end, it counts as aborted.
#[derive(Debug)]
pub struct RequestTimes {
    metrics: Arc<Metrics>,
    prompt_tokens: usize,
    generated_tokens: usize,
    arrived: Instant,
    scheduled: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Instant,
    ended: bool,
}

impl RequestTimes {
    /// The clock of a request with a prompt of `prompt_tokens` that arrives now.
    pub fn start(metrics: Arc<Metrics>, prompt_tokens: usize) -> Self {
        let now = Instant::now();
        Self {
            metrics,
            prompt_tokens,
            generated_tokens: 0,
            arrived: now,
            scheduled: None,
            first_token: None,
            last_token: now,
            ended: false,
        }
    }

    /// A token of the answer has come; the request first ran at `scheduled_at`.
    pub fn token(&mut self, scheduled_at: Instant) {
        let now = Instant::now();
        match self.first_token {
            None => {
                self.scheduled = Some(scheduled_at);
                self.first_token = Some(now);
                self.metrics.time_to_first_token.observe((now - self.arrived).as_secs_f64());
            }
            Some(_) => self.metrics.inter_token_latency.observe((now - self.last_token).as_secs_f64()),
        }
        self.last_token = now;
        self.generated_tokens += 1;
    }

    /// The answer is complete.
    pub fn finish(&mut self, reason: FinishReason) {
        self.end(reason_label(reason));
        let metrics = &self.metrics;
        metrics.request_prompt_tokens.observe(self.prompt_tokens as f64);
        metrics.request_generation_tokens.observe(self.generated_tokens as f64);
        metrics.e2e_request_latency.observe((self.last_token - self.arrived).as_secs_f64());
        let (Some(scheduled), Some(first)) = (self.scheduled, self.first_token) else { return };
        let decode = (self.last_token - first).as_secs_f64();
        metrics.request_queue_time.observe(scheduled.saturating_duration_since(self.arrived).as_secs_f64());
        metrics.request_prefill_time.observe((first - scheduled).as_secs_f64());
        metrics.request_inference_time.observe((self.last_token - scheduled).as_secs_f64());
        metrics.request_decode_time.observe(decode);
        if self.generated_tokens > 1 {
            metrics.time_per_output_token.observe(decode / (self.generated_tokens - 1) as f64);
        }
    }

    /// The engine has gone before the answer was complete.
    pub fn fail(&mut self) {
        self.end("error");
    }

    fn end(&mut self, reason: &str) {
        self.ended = true;
        self.metrics.request_success.with_label_values(&[reason]).inc();
    }
}

impl Drop for RequestTimes {
    fn drop(&mut self) {
        if !self.ended {
            self.end("abort");
        }
    }
}
