//! Sets up telemetry once per process: lines on stderr, and OTLP traces and metrics where a collector is named.
//!
//! Reads `RUST_LOG` and the `OTEL_*` variables, which are OpenTelemetry's own interface, and nothing else of the
//! environment. Never writes to stdout, which belongs to what a program prints.

use std::{io::IsTerminal, sync::mpsc, time::Duration};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Names the collector; without it no trace and no metric leaves the process.
const COLLECTOR_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The thread that shuts the meters down says once that it is over.
const ONE_ANSWER: usize = 1;
/// How long the last traces may take to leave: a dead collector must not hold up the end of a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// What the exporter itself runs on. Its spans would be exported and make new ones, without end.
const EXPORTER_TARGETS: [&str; 6] = ["opentelemetry", "tonic", "h2", "hyper", "hyper_util", "tower"];

/// Keeps tracing alive; dropping it sends what has not been sent yet. Keep it to the end of `main`.
#[derive(Debug)]
#[must_use = "dropping it ends the traces"]
pub struct Guard {
    exporter: Option<Exporter>,
}

/// The pipelines and the runtime their connections live on: most binaries have none of their own.
#[derive(Debug)]
struct Exporter {
    provider: SdkTracerProvider,
    meters: SdkMeterProvider,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
enum ExporterError {
    #[error("could not start a thread for it")]
    StartRuntime(#[source] std::io::Error),
    #[error("could not use {COLLECTOR_VARIABLE}")]
    Build(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging for `service` (the name of the binary). A second call in one process changes nothing.
///
/// A collector that cannot be used is reported as a warning: telemetry never stops work.
pub fn init(service: &str) -> Guard {
    let (exporter, problem) = match std::env::var_os(COLLECTOR_VARIABLE).filter(|endpoint| !endpoint.is_empty()) {
        None => (None, None),
        Some(_) => Exporter::connect(service).map_or_else(|error| (None, Some(error)), |made| (Some(made), None)),
    };
    let traces = exporter.as_ref().map(|exporter| {
        let targets = EXPORTER_TARGETS.map(|target| (target, LevelFilter::OFF));
        let filter = Targets::new().with_default(LevelFilter::INFO).with_targets(targets);
        tracing_opentelemetry::layer().with_tracer(exporter.provider.tracer("bedplate")).with_filter(filter)
    });
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    // Only a second call can fail here, and the first one's set-up is as good.
    let _ = tracing_subscriber::registry().with(traces).with(lines.with_filter(filter)).try_init();
    if let Some(error) = problem {
        tracing::warn!(error = %crate::chain::Chain(&error), "traces and metrics are not exported");
    }
    Guard { exporter }
}

impl Exporter {
    fn connect(service: &str) -> Result<Self, ExporterError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(ExporterError::StartRuntime)?;
        let entered = runtime.enter();
        let exporter =
            opentelemetry_otlp::SpanExporter::builder().with_tonic().build().map_err(ExporterError::Build)?;
        let metrics =
            opentelemetry_otlp::MetricExporter::builder().with_tonic().build().map_err(ExporterError::Build)?;
        drop(entered);
        let resource = Resource::builder().with_service_name(service.to_owned()).build();
        let meters =
            SdkMeterProvider::builder().with_periodic_exporter(metrics).with_resource(resource.clone()).build();
        opentelemetry::global::set_meter_provider(meters.clone());
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self { provider, meters, runtime: Some(runtime) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(exporter) = &mut self.exporter else { return };
        // On a thread of its own: this shut-down takes no time limit.
        let (meters, (sender, done)) = (exporter.meters.clone(), mpsc::sync_channel(ONE_ANSWER));
        std::thread::spawn(move || sender.send(meters.shutdown()));
        // Nobody is left to tell: what the collector did not take in time is lost.
        let _ = exporter.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        let _ = done.recv_timeout(FLUSH_TIMEOUT);
        if let Some(runtime) = exporter.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
