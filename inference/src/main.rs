//! `bedplate-inference --config job.json`: serves one model until it is told to stop.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use bedplate_crds::job::{InferenceJob, exit::ExitCode as Exit, termination::TerminationMessage};
use bedplate_inference::serve::{HubAccess, serve};
use bedplate_telemetry::{chain::Chain, logging, trace_context};
use bedplate_workload::{reporter::Reporter, termination};
use clap::Parser;

/// Gives the memory of a request back to the system. After a prompt of megabytes was tokenised, glibc kept gigabytes of
/// small pieces; musl's own allocator makes all threads wait for one another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves a language model behind an OpenAI-compatible endpoint.
#[derive(Debug, Parser)]
#[command(name = "bedplate-inference", version)]
struct Args {
    /// The job file (JSON).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let _tracing = logging::init("bedplate-inference");
    let (exit, message) = match begin(&args) {
        Ok(()) => (Exit::Success, None),
        Err((exit, message)) => {
            tracing::error!("{message}");
            (exit, Some(message))
        }
    };
    termination::leave(&TerminationMessage { message, ..TerminationMessage::new(exit.code().into()) });
    exit.code().into()
}

/// Everything there is to do; an early end comes back as exit code and sentence.
fn begin(args: &Args) -> Result<(), (Exit, String)> {
    let job = read_job(&args.config).map_err(|error| (Exit::InvalidConfig, format!("{error:#}")))?;
    job.metadata.traceparent.iter().for_each(|traceparent| trace_context::adopt(traceparent));
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hub = HubAccess { token: variable("HF_TOKEN"), endpoint: variable("HF_ENDPOINT") };
    let reporter = Reporter::start(&job.metadata, job.reporting.as_ref(), &job.progress_file);
    let served = serve(&job, hub, asked_to_stop());
    if let Some(reporter) = reporter {
        reporter.finish();
    }
    served.map_err(|error| (error.exit_code(), Chain(&error).to_string()))
}

fn read_job(path: &std::path::Path) -> anyhow::Result<InferenceJob> {
    use anyhow::Context;
    let text = std::fs::read(path).with_context(|| format!("could not read the job file {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("the job file {} is not valid", path.display()))
}

/// Completes on SIGTERM or SIGINT.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).expect("the runtime has its signal driver on");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
