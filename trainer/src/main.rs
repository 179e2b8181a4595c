//! Entry point of the TrainingJob pod: arguments and environment in, exit code out.
#![forbid(unsafe_code)]

use std::{env, path::PathBuf, process};

use bedplate_crds::job::exit::ExitCode;
use bedplate_telemetry::{chain::Chain, logging};
use bedplate_trainer::{
    attempt::{self, Attempt},
    error::TrainError,
    job,
    model::HubAccess,
    stop::Stop,
};
use clap::Parser;

/// Trains what a job file describes, from the newest checkpoint if there is one.
#[derive(Debug, Parser)]
#[command(name = "bedplate-trainer", version)]
struct Args {
    /// The job file.
    #[arg(long, value_name = "JOB.JSON")]
    config: PathBuf,
    /// Number of this process among the ranks of the job.
    #[arg(long, default_value_t = 0)]
    rank: u32,
}

fn main() -> process::ExitCode {
    let args = Args::parse();
    let _telemetry = logging::init("bedplate-trainer");
    let exit = match train(&args) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            let exit = error.exit_code();
            match exit {
                ExitCode::Preempted => tracing::info!("{}", Chain(&error)),
                _ => tracing::error!("{}", Chain(&error)),
            }
            exit
        }
    };
    process::ExitCode::from(exit.code())
}

fn train(args: &Args) -> Result<(), TrainError> {
    let job = job::read(&args.config)?;
    let stop = Stop::on_signals().map_err(TrainError::Signals)?;
    let hub = HubAccess { endpoint: env::var("HF_ENDPOINT").ok(), token: env::var("HF_TOKEN").ok() };
    attempt::run(&job, Attempt { rank: args.rank, hub, stop, observe: &mut |_| () })
}
