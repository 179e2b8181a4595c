//! The figures of training steps as OpenTelemetry metrics, at full rate; the exporter takes the latest every so often.
//!
//! Owns the names. Does nothing where no metrics are exported.

use opentelemetry::{
    KeyValue, global,
    metrics::{Gauge, Meter},
};

/// Figures of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFigures {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean negative log-likelihood of a target token, in nats.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens per second over the step, all ranks together.
    pub tokens_per_second: f64,
    /// Tokens seen since the beginning of the job, all ranks together.
    pub tokens: u64,
}

/// The instruments, for one job.
#[derive(Debug)]
pub struct TrainingGauges {
    job: [KeyValue; 2],
    step: Gauge<u64>,
    tokens: Gauge<u64>,
    loss: Gauge<f64>,
    gradient_norm: Gauge<f64>,
    learning_rate: Gauge<f64>,
    tokens_per_second: Gauge<f64>,
}

impl TrainingGauges {
    /// Instruments that name the TrainingJob `namespace`/`name`, under OpenTelemetry's name for a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        let meter = global::meter("bedplate");
        let (step, tokens) = (count(&meter, "step", "{step}"), count(&meter, "tokens", "{token}"));
        Self {
            job: [
                KeyValue::new("k8s.namespace.name", namespace.to_owned()),
                KeyValue::new("bedplate.training_job.name", name.to_owned()),
            ],
            step,
            tokens,
            loss: figure(&meter, "loss", "nat"),
            gradient_norm: figure(&meter, "gradient_norm", "1"),
            learning_rate: figure(&meter, "learning_rate", "1"),
            tokens_per_second: figure(&meter, "throughput", "{token}/s"),
        }
    }

    /// Sets every instrument to the figures of a step.
    pub fn record(&self, figures: &StepFigures) {
        self.step.record(figures.step, &self.job);
        self.tokens.record(figures.tokens, &self.job);
        self.loss.record(figures.loss, &self.job);
        self.gradient_norm.record(figures.gradient_norm, &self.job);
        self.learning_rate.record(figures.learning_rate, &self.job);
        self.tokens_per_second.record(figures.tokens_per_second, &self.job);
    }
}

fn count(meter: &Meter, name: &str, unit: &'static str) -> Gauge<u64> {
    meter.u64_gauge(format!("bedplate.training.{name}")).with_unit(unit).build()
}

fn figure(meter: &Meter, name: &str, unit: &'static str) -> Gauge<f64> {
    meter.f64_gauge(format!("bedplate.training.{name}")).with_unit(unit).build()
}
