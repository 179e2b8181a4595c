//! What the operator counts about itself and the resources it looks after, for Prometheus.
//!
//! Owns the registry and the names. Labels are kinds, reasons, phases, and of a TrainingJob its namespace and name; a series
//! goes when its resource goes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::{
    progress_api::hub::ProgressHub,
    resource::{Kind, ResourceKey},
};

/// From a reconcile that finds nothing to do to one that waits for a slow API server.
const SECONDS_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

/// Every series of the operator.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: HistogramVec,
    resources: IntGaugeVec,
    phases: Arc<Mutex<HashMap<ResourceKey, String>>>,
    /// Conditions that changed, by kind and reason.
    pub reasons: IntCounterVec,
    reports: IntCounterVec,
    spool: IntGauge,
    /// 1 while this operator leads.
    pub leader: IntGauge,
    training: [GaugeVec; 3],
}

impl Metrics {
    /// A registry with every series at its start.
    ///
    /// # Errors
    /// When two series have one name.
    pub fn new() -> prometheus::Result<Self> {
        let training = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["namespace", "name"]);
        let metrics = Self {
            registry: Registry::new(),
            reconciles: IntCounterVec::new(
                Opts::new("bedplate_reconcile_total", "Reconciles by kind and result."),
                &["kind", "result"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new("bedplate_reconcile_duration_seconds", "Duration of a reconcile.")
                    .buckets(SECONDS_BUCKETS.to_vec()),
                &["kind"],
            )?,
            resources: IntGaugeVec::new(
                Opts::new("bedplate_resources", "Resources by kind and phase."),
                &["kind", "phase"],
            )?,
            phases: Arc::default(),
            reasons: IntCounterVec::new(
                Opts::new("bedplate_condition_reasons_total", "Conditions that took on a reason."),
                &["kind", "reason"],
            )?,
            reports: IntCounterVec::new(
                Opts::new("bedplate_progress_reports_total", "Progress reports taken in."),
                &["kind"],
            )?,
            spool: IntGauge::new("bedplate_history_spool_events", "Progress events that wait for Postgres.")?,
            leader: IntGauge::new("bedplate_leader", "1 while this operator leads.")?,
            training: [
                training("bedplate_training_step", "Steps done by a TrainingJob.")?,
                training("bedplate_training_loss", "Loss of its latest step.")?,
                training("bedplate_training_tokens_per_second", "Tokens per second of its latest step.")?,
            ],
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        self.registry.register(Box::new(self.reconciles.clone()))?;
        self.registry.register(Box::new(self.durations.clone()))?;
        self.registry.register(Box::new(self.resources.clone()))?;
        self.registry.register(Box::new(self.reasons.clone()))?;
        self.registry.register(Box::new(self.reports.clone()))?;
        self.registry.register(Box::new(self.spool.clone()))?;
        self.registry.register(Box::new(self.leader.clone()))?;
        self.training.iter().try_for_each(|series| self.registry.register(Box::new(series.clone())))
    }

    /// Counts a reconcile.
    pub fn reconciled(&self, kind: Kind, result: &str, took: Duration) {
        self.reconciles.with_label_values(&[kind.name(), result]).inc();
        self.durations.with_label_values(&[kind.name()]).observe(took.as_secs_f64());
    }

    /// Takes over what the hub has counted.
    pub fn reported(&self, hub: &ProgressHub) {
        for kind in Kind::ALL {
            let series = self.reports.with_label_values(&[kind.name()]);
            series.inc_by(hub.reports(kind).saturating_sub(series.get()));
        }
        self.spool.set(i64::try_from(hub.spool_len()).unwrap_or(i64::MAX));
    }

    /// Sets step, loss and speed of a TrainingJob.
    pub fn trained(&self, key: &ResourceKey, figures: [f64; 3]) {
        for (series, figure) in self.training.iter().zip(figures) {
            series.with_label_values(&[&key.namespace, &key.name]).set(figure);
        }
    }

    /// Counts a resource under its phase, and no longer under an earlier one.
    pub fn phase(&self, key: &ResourceKey, phase: &str) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = phases.insert(key.clone(), phase.to_owned());
        self.resources.with_label_values(&[key.kind.name(), phase]).inc();
        if let Some(earlier) = earlier {
            self.resources.with_label_values(&[key.kind.name(), &earlier]).dec();
        }
    }

    /// Drops what is known of a resource that is gone.
    pub fn forget(&self, key: &ResourceKey) {
        let phase = self.phases.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(phase) = phase {
            self.resources.with_label_values(&[key.kind.name(), &phase]).dec();
        }
        if key.kind != Kind::TrainingJob {
            return;
        }
        for series in &self.training {
            // A job that never reported has no series.
            let _ = series.remove_label_values(&[&key.namespace, &key.name]);
        }
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// When a series does not encode.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
