//! `bedplate-dataset --config job.json`: makes one Dataset. Owns arguments, environment, signals and the exit code.
#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode as Exit,
    sync::mpsc,
    time::Duration,
};

use bedplate_crds::job::{DatasetJob, exit::ExitCode, progress::ProgressBody};
use bedplate_dataset::{
    dump::SplitName,
    error::DatasetError,
    job,
    report::Reporter,
    stop::{Stop, Stopped},
};
use bedplate_telemetry::{chain::Chain, logging, progress::ProgressWriter};
use clap::Parser;

/// How long a stopped job may take to end by itself. Everything on disk is whole at any moment, so that nothing is lost
/// where it takes longer, as in the middle of a tokenizer's training; well below Kubernetes' 30 s.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Makes one Dataset: reads, cleans, tokenises, packs.
#[derive(Parser)]
#[command(name = "bedplate-dataset", version)]
struct Arguments {
    /// The job file.
    #[arg(long)]
    config: PathBuf,
    /// Write the cleaned documents of a split to the standard output instead, each ended by a NUL byte.
    #[arg(long, value_name = "SPLIT")]
    dump_split: Option<Split>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Split {
    Train,
    Holdout,
}

fn main() -> Exit {
    let arguments = Arguments::parse();
    let _telemetry = logging::init("bedplate-dataset");
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = begin(&arguments).unwrap_or_else(|error| {
        tracing::error!("{}", Chain(&error));
        error.exit_code()
    });
    Exit::from(exit.code())
}

/// Everything up to the progress file; from there on errors go there too.
fn begin(arguments: &Arguments) -> Result<ExitCode, DatasetError> {
    let job = job::read(&arguments.config)?;
    // A dump is no run of the job: its events go nowhere.
    let progress_file = if arguments.dump_split.is_some() { Path::new("/dev/null") } else { &job.progress_file };
    let reporter = Reporter::new(ProgressWriter::open(progress_file)?);
    let stop = Stop::default();
    let (sender, ended) = mpsc::sync_channel(2);
    let late = sender.clone();
    stop.watch_signals(STOP_GRACE, move || _ = late.send(Ended::Late)).map_err(DatasetError::WatchSignals)?;
    let result = std::thread::scope(|scope| {
        scope.spawn(|| sender.send(Ended::Work(work(arguments, &job, &reporter, &stop))));
        match ended.recv() {
            Ok(Ended::Work(result)) => result,
            Ok(Ended::Late) | Err(_) => {
                report_failure(&reporter, &Stopped, ExitCode::Preempted);
                std::process::exit(ExitCode::Preempted.code().into())
            }
        }
    });
    Ok(match result {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            report_failure(&reporter, &error, error.exit_code());
            error.exit_code()
        }
    })
}

/// What came first: the end of the work, or the end of the patience with it.
enum Ended {
    Work(Result<(), DatasetError>),
    Late,
}

fn work(arguments: &Arguments, job: &DatasetJob, reporter: &Reporter, stop: &Stop) -> Result<(), DatasetError> {
    let is_wanted =
        |(name, _): &(String, String)| name.starts_with("AWS_") || name == "HF_TOKEN" || name == "HF_ENDPOINT";
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(is_wanted)
        .collect();
    match arguments.dump_split {
        None => bedplate_dataset::run(job, environment, reporter, stop).map(drop),
        Some(Split::Train) => bedplate_dataset::dump(job, environment, reporter, stop, SplitName::Train),
        Some(Split::Holdout) => bedplate_dataset::dump(job, environment, reporter, stop, SplitName::Holdout),
    }
}

fn report_failure(reporter: &Reporter, error: &(dyn std::error::Error + 'static), exit: ExitCode) {
    let message = Chain(error).to_string();
    tracing::error!("{message}");
    let failed = ProgressBody::Failed { message, exit_code: exit.code().into() };
    if let Err(error) = reporter.event(failed) {
        tracing::warn!("{}", Chain(&error));
    }
}
