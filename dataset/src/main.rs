//! `bedplate-dataset --config job.json`: makes one Dataset. Owns arguments, environment, signals and the exit code.
#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode as Exit,
    sync::mpsc,
    time::Duration,
};

use bedplate_crds::job::{
    DATASETS_FOLDER, DatasetJob, exit::ExitCode, manifest::DatasetManifest, progress::ProgressBody,
    termination::TerminationMessage,
};
use bedplate_dataset::{
    dump::SplitName,
    error::DatasetError,
    job,
    report::Reporter as Report,
    stop::{Stop, Stopped},
};
use bedplate_telemetry::{chain::Chain, logging, progress::ProgressWriter, trace_context::continue_from};
use bedplate_workload::{removal, reporter::Reporter, termination};
use clap::Parser;

/// Documents are many small pieces on many threads; musl's own allocator makes all threads wait for one another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Remove outputDir, with every shard, instead.
    #[arg(long, conflicts_with = "dump_split")]
    remove: bool,
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
    let last_word = begin(&arguments).unwrap_or_else(|error| {
        tracing::error!("{}", Chain(&error));
        failed(&error, error.exit_code())
    });
    leave(&arguments, &last_word);
    Exit::from(u8::try_from(last_word.exit_code).unwrap_or(u8::MAX))
}

/// Everything up to the progress file; from there on errors go there too.
fn begin(arguments: &Arguments) -> Result<TerminationMessage, DatasetError> {
    let job = job::read(&arguments.config)?;
    if arguments.remove {
        removal::remove(&job.output_dir, DATASETS_FOLDER, &job.metadata)?;
        return Ok(TerminationMessage::new(0));
    }
    // A dump is no run of the job: its events go nowhere.
    let is_dump = arguments.dump_split.is_some();
    let progress_file = if is_dump { Path::new("/dev/null") } else { &job.progress_file };
    let report = Report::new(ProgressWriter::open(progress_file)?);
    let reporter = Reporter::start(&job.metadata, job.reporting.as_ref().filter(|_| !is_dump), progress_file);
    let stop = Stop::default();
    let (sender, ended) = mpsc::sync_channel(2);
    let late = sender.clone();
    stop.watch_signals(STOP_GRACE, move || _ = late.send(Ended::Late)).map_err(DatasetError::WatchSignals)?;
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(Ended::Work(Box::new(work(arguments, &job, &report, &stop)))));
        let (last_word, is_late) = match ended.recv() {
            Ok(Ended::Work(result)) => (told(&report, *result), false),
            Ok(Ended::Late) | Err(_) => (told(&report, Err(Stopped.into())), true),
        };
        if let Some(reporter) = reporter {
            reporter.finish();
        }
        if is_late {
            leave(arguments, &last_word);
            std::process::exit(last_word.exit_code)
        }
        Ok(last_word)
    })
}

/// What came first: the end of the work, or the end of the patience with it.
enum Ended {
    Work(Box<Result<Option<DatasetManifest>, DatasetError>>),
    Late,
}

fn work(
    arguments: &Arguments,
    job: &DatasetJob,
    report: &Report,
    stop: &Stop,
) -> Result<Option<DatasetManifest>, DatasetError> {
    let is_wanted =
        |(name, _): &(String, String)| name.starts_with("AWS_") || name == "HF_TOKEN" || name == "HF_ENDPOINT";
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(is_wanted)
        .collect();
    let split = match arguments.dump_split {
        None => {
            let span = tracing::info_span!("dataset", job = job.metadata.name);
            job.metadata.traceparent.iter().for_each(|traceparent| continue_from(&span, traceparent));
            return span.in_scope(|| bedplate_dataset::run(job, environment, report, stop)).map(Some);
        }
        Some(Split::Train) => SplitName::Train,
        Some(Split::Holdout) => SplitName::Holdout,
    };
    bedplate_dataset::dump(job, environment, report, stop, split).map(|()| None)
}

/// The last word about the end of the work; an early end is reported too.
fn told(report: &Report, result: Result<Option<DatasetManifest>, DatasetError>) -> TerminationMessage {
    match result {
        Ok(manifest) => TerminationMessage {
            digest: manifest.as_ref().map(|manifest| manifest.digest.clone()),
            dataset: manifest.as_ref().map(Into::into),
            ..TerminationMessage::new(0)
        },
        Err(error) => {
            let last_word = failed(&error, error.exit_code());
            let message = Chain(&error).to_string();
            tracing::error!("{message}");
            if let Err(error) = report.event(ProgressBody::Failed { message, exit_code: last_word.exit_code }) {
                tracing::warn!("{}", Chain(&error));
            }
            last_word
        }
    }
}

fn failed(error: &DatasetError, exit: ExitCode) -> TerminationMessage {
    TerminationMessage { message: Some(Chain(error).to_string()), ..TerminationMessage::new(exit.code().into()) }
}

/// A dump is no run of the job, and leaves no word of one.
fn leave(arguments: &Arguments, last_word: &TerminationMessage) {
    if arguments.dump_split.is_none() {
        termination::leave(last_word);
    }
}
