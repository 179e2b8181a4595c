//! `bedplate-inference --config job.json`: serves one model until it is told to stop.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use bedplate_crds::job::{InferenceJob, exit::ExitCode as Exit};
use bedplate_inference::serve::{HubAccess, serve};
use bedplate_telemetry::{chain::Chain, logging};
use clap::Parser;

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
    let job = match read_job(&args.config) {
        Ok(job) => job,
        Err(error) => {
            tracing::error!("{error:#}");
            return Exit::InvalidConfig.code().into();
        }
    };
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hub = HubAccess { token: variable("HF_TOKEN"), endpoint: variable("HF_ENDPOINT") };
    match serve(&job, hub, asked_to_stop()) {
        Ok(()) => Exit::Success.code().into(),
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            error.exit_code().code().into()
        }
    }
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
