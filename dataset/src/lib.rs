//! The Dataset pod: read, filter, deduplicate, tokenise, pack, shard.
//!
//! `run` is the whole of it, stage by stage. Every stage keeps what it made under a key of what it was made of, so that
//! a second run, or one after a crash, does only what is missing. The bytes of the output depend on the bytes of the
//! sources and on the spec, not on threads, paths, times or interruptions.
//!
//! Memory is bounded whatever the corpus: [`MEMORY_BOUND_BYTES`] with the defaults, and 16 bytes (with the table's free
//! room up to 39) for each document that `exactDedup` keeps. Training a tokenizer holds `maxTrainBytes` of text, and
//! its words, on top.
#![forbid(unsafe_code)]

pub mod clean;
pub mod context;
mod document;
pub mod dump;
pub mod error;
pub mod job;
pub mod output;
pub mod pack;
pub mod packing;
mod pieces;
mod record;
pub mod report;
mod sealed;
pub mod source;
pub mod stop;
pub mod tokenize;
pub mod vocabulary;
pub mod workspace;

use bedplate_crds::job::{DatasetJob, manifest::DatasetManifest, progress::ProgressBody};

use context::Context;
use error::DatasetError;
use report::{Extent, Reporter};
use source::Roots;
use stop::Stop;
use workspace::Workspace;

/// Peak of resident memory on a few threads without training a tokenizer: shards and packing windows of two splits,
/// batches between threads, and the program itself. Shown by a test.
pub const MEMORY_BOUND_BYTES: u64 = 384 << 20;

/// How often a damaged cache is thrown away and made again before its damage counts as the disk's.
const MAX_REPAIRS: usize = 3;

/// Does the whole job.
///
/// # Errors
/// See [`DatasetError`]; its `exit_code` is the process' exit code.
pub fn run(
    job: &DatasetJob,
    environment: Environment,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<DatasetManifest, DatasetError> {
    let context = prepare(job, environment, reporter, stop)?;
    let threads = threads(job)?;
    reporter.event(ProgressBody::Started { pid: std::process::id() })?;
    let manifest = threads.install(|| with_repairs(&context, stages))?;
    let (train, holdout) = (&manifest.train, &manifest.holdout);
    tracing::info!(
        digest = manifest.digest,
        documents = train.documents + holdout.documents,
        tokens = train.tokens + holdout.tokens,
        sequences = train.sequences + holdout.sequences,
        "the dataset is complete"
    );
    reporter.event(ProgressBody::Completed { digest: manifest.digest.clone() })?;
    Ok(manifest)
}

/// Every stage in order.
fn stages(context: &Context<'_>) -> Result<DatasetManifest, DatasetError> {
    let spec = &context.job.spec;
    let inputs = source::discover(&spec.sources, &context.roots, &context.stop)?;
    let clean = clean::run(context, &inputs)?;
    let vocabulary = vocabulary::run(context, &clean)?;
    if let Some(manifest) = output::find(context, &clean, &vocabulary) {
        tokenize::report_cached(context, &clean)?;
        context.reporter.stage(&pack::counts(&[&manifest.train, &manifest.holdout]), Extent::Cached)?;
        return Ok(manifest);
    }
    let tokens = tokenize::run(context, &clean, &vocabulary)?;
    let packed = pack::run(context, &tokens, vocabulary.vocab_size(), clean.documents)?;
    Ok(output::publish(context, &clean, &vocabulary, packed)?)
}

/// Writes the documents of `split` to `out`; cleans them first where that is not done yet.
///
/// # Errors
/// See [`DatasetError`].
pub fn dump(
    job: &DatasetJob,
    environment: Environment,
    reporter: &Reporter,
    stop: &Stop,
    split: dump::SplitName,
) -> Result<(), DatasetError> {
    let context = prepare(job, environment, reporter, stop)?;
    let clean = threads(job)?.install(|| {
        with_repairs(&context, |context| {
            let inputs = source::discover(&job.spec.sources, &context.roots, &context.stop)?;
            let clean = clean::run(context, &inputs)?;
            clean::check(context, &clean)?;
            Ok(clean)
        })
    })?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    Ok(dump::dump(&context, &clean, split, &mut out)?)
}

/// `AWS_*` and `HF_*` variables.
pub type Environment = Vec<(String, String)>;

fn prepare<'a>(
    job: &'a DatasetJob,
    environment: Environment,
    reporter: &'a Reporter,
    stop: &Stop,
) -> Result<Context<'a>, DatasetError> {
    job::check(&job.spec)?;
    let workspace = Workspace::open(&job.output_dir)?;
    let (input_root, output_dir) = (job.input_root.clone(), job.output_dir.clone());
    Ok(Context { job, workspace, reporter, stop: stop.clone(), roots: Roots { input_root, output_dir, environment } })
}

fn threads(job: &DatasetJob) -> Result<rayon::ThreadPool, DatasetError> {
    let builder =
        rayon::ThreadPoolBuilder::new().num_threads(job.threads).thread_name(|index| format!("worker {index}"));
    builder.build().map_err(DatasetError::StartThreads)
}

/// Does `work`; where a kept file turns out to be damaged, throws its stage away and does it again.
fn with_repairs<T>(
    context: &Context<'_>,
    work: impl Fn(&Context<'_>) -> Result<T, DatasetError>,
) -> Result<T, DatasetError> {
    for _ in 0..MAX_REPAIRS {
        let result = work(context);
        let Some(damaged) = result.as_ref().err().and_then(DatasetError::damaged_file) else { return result };
        tracing::warn!(file = %damaged.display(), "a kept file is damaged; its stage is made again");
        // The folder below `.stages` that the file is in.
        let stage = damaged.strip_prefix(context.workspace.stages()).ok().and_then(|path| path.iter().next());
        let Some(stage) = stage.and_then(|stage| stage.to_str()) else { return result };
        context.workspace.forget(stage)?;
    }
    work(context)
}
