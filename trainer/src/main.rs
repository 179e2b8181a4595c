//! Entry point of the TrainingJob pod: arguments and environment in, exit code out.
#![forbid(unsafe_code)]

use std::{env, path::PathBuf, process};

use bedplate_crds::job::{TRAINING_JOBS_FOLDER, TrainerJob, exit::ExitCode, termination::TerminationMessage};
use bedplate_telemetry::{chain::Chain, logging};
use bedplate_trainer::{
    attempt::{self, Attempt},
    error::TrainError,
    job,
    model::HubAccess,
    stop::Stop,
};
use bedplate_workload::{removal, reporter::Reporter, termination};
use clap::Parser;

/// Each step takes and leaves large buffers, which musl's own allocator maps and unmaps every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains what a job file describes, from the newest checkpoint if there is one.
#[derive(Debug, Parser)]
#[command(name = "bedplate-trainer", version)]
struct Args {
    /// The job file.
    #[arg(long, value_name = "JOB.JSON")]
    config: PathBuf,
    /// Number of this process among the ranks of the job.
    #[arg(long, env = "JOB_COMPLETION_INDEX", default_value_t = 0)]
    rank: u32,
    /// Remove outputDir, with every checkpoint and the model, instead.
    #[arg(long)]
    remove: bool,
}

fn main() -> process::ExitCode {
    let args = Args::parse();
    let _telemetry = logging::init("bedplate-trainer");
    let (exit, last_word) = match begin(&args) {
        Ok(digest) => {
            let last_word = TerminationMessage { digest, ..TerminationMessage::new(0) };
            (ExitCode::Success, last_word)
        }
        Err(error) => {
            let exit = error.exit_code();
            let message = Chain(&error).to_string();
            match exit {
                ExitCode::Preempted => tracing::info!("{message}"),
                _ => tracing::error!("{message}"),
            }
            (exit, TerminationMessage { message: Some(message), ..TerminationMessage::new(exit.code().into()) })
        }
    };
    termination::leave(&last_word);
    process::ExitCode::from(exit.code())
}

/// Everything there is to do; returns the digest of the final checkpoint on the rank that knows it.
fn begin(args: &Args) -> Result<Option<String>, TrainError> {
    let job = job::read(&args.config)?;
    if args.remove {
        removal::remove(&job.output_dir, TRAINING_JOBS_FOLDER, &job.metadata)?;
        return Ok(None);
    }
    // Only rank 0 writes progress events.
    let reporting = job.reporting.as_ref().filter(|_| args.rank == 0);
    let reporter = Reporter::start(&job.metadata, reporting, &job.progress_file);
    let trained = train(&job, args.rank);
    if let Some(reporter) = reporter {
        reporter.finish();
    }
    trained
}

fn train(job: &TrainerJob, rank: u32) -> Result<Option<String>, TrainError> {
    let stop = Stop::on_signals().map_err(TrainError::Signals)?;
    let hub = HubAccess { endpoint: env::var("HF_ENDPOINT").ok(), token: env::var("HF_TOKEN").ok() };
    attempt::run(job, Attempt { rank, hub, stop, observe: &mut |_| () })
}
