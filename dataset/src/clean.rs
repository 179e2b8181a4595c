//! The first stage: reads the sources and passes every document through the pipeline.
//!
//! Owns what is kept in `.stages/clean`: the cleaned documents in order, what each stage counted, and which files they
//! came from. Never splits, tokenises or packs.
//!
//! Memory: three batches, one document for each thread, and 16 bytes of hash for each document that `exactDedup` kept
//! (up to 39 with the free room of its table).

mod counts;
mod record;
mod stage;
pub mod store;
#[cfg(test)]
mod tests;

use std::sync::{
    atomic::{AtomicU64, Ordering},
    mpsc::sync_channel,
};

use bedplate_crds::job::manifest::StageCounts;
use bedplate_telemetry::progress::ProgressError;
use rayon::prelude::*;

use crate::{
    context::Context,
    document::{ContentDigest, Document},
    report::Extent,
    sealed::SealedError,
    source::{self, Batch, Inputs, Item, LeftOut, SourceError},
    stop::Stopped,
};
use counts::Tally;
pub use record::{CleanRecord, Segment};
use stage::Stage;

/// Batches that may wait between the reading thread and the pipeline.
const QUEUED_BATCHES: usize = 1;

/// Why there are no cleaned documents.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Bytes that are no text reached a stage that needs text.
    #[error(
        "{origin} is not valid UTF-8 at byte {at}; put {{type: utf8Repair}} first in spec.pipeline, or exclude the file"
    )]
    Decode {
        /// Where the document is.
        origin: String,
        /// First wrong byte.
        at: usize,
    },
    /// A NUL reached a stage that needs text.
    #[error(
        "{origin} holds a NUL at byte {at}, which is no text; put {{type: utf8Repair}} first in spec.pipeline, or exclude the file"
    )]
    Nul {
        /// Where the document is.
        origin: String,
        /// The first one.
        at: usize,
    },
    /// Nothing is left.
    #[error("no document is left after {stage} ({counts}); {remedy}")]
    Empty {
        /// The stage that dropped the last ones.
        stage: String,
        /// Documents after each stage.
        counts: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The cache cannot be written or read.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    /// Progress cannot be reported.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The cleaned documents of `files`: the kept ones where nothing has changed, otherwise made anew.
///
/// # Errors
/// See [`CleanError`].
pub fn run(context: &Context<'_>, inputs: &Inputs) -> Result<CleanRecord, CleanError> {
    if let Some(record) = record::find(context, inputs)? {
        for counts in &record.stages {
            context.reporter.stage(counts, Extent::Cached)?;
        }
        return Ok(record);
    }
    make(context, inputs)
}

/// Makes sure that every kept document can be read.
///
/// # Errors
/// Where a file is damaged.
pub fn check(context: &Context<'_>, record: &CleanRecord) -> Result<(), CleanError> {
    let folder = context.workspace.path("clean");
    record.segments.iter().try_for_each(|segment| store::Documents::open(&folder, segment).map(drop))?;
    Ok(())
}

fn make(context: &Context<'_>, inputs: &Inputs) -> Result<CleanRecord, CleanError> {
    let files = &inputs.files;
    let folder = context.workspace.begin("clean").map_err(CleanError::Record)?;
    let sources = &context.job.spec.sources;
    let total: Option<u64> = files.iter().map(|file| file.size).sum();
    let progress = AtomicU64::new(0);
    let mut pipeline = Pipeline::new(context, inputs, store::Writer::new(folder.clone()));
    let hashes = std::thread::scope(|scope| -> Result<Vec<String>, CleanError> {
        let (sender, receiver) = sync_channel::<Batch>(QUEUED_BATCHES);
        let (progress, stop) = (&progress, &context.stop);
        let reading = scope.spawn(move || source::read_all(files, sources, &folder, progress, (&sender, stop)));
        let mut hashes = Vec::with_capacity(files.len());
        // Taken by value, so that an error here closes the channel and ends the reading thread.
        for batch in receiver {
            context.stop.check()?;
            pipeline.push(batch, &mut hashes)?;
            if context.reporter.is_due() {
                let done = progress.load(Ordering::Relaxed) as f64;
                pipeline.report(Extent::Running(total.map(|total| done / total.max(1) as f64)))?;
            }
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(hashes)
    })?;
    let record = pipeline.finish(inputs, hashes)?;
    record.save(context)?;
    Ok(record)
}

/// Every stage with its counts, and the store behind the last.
struct Pipeline<'a> {
    context: &'a Context<'a>,
    read: Tally,
    stages: Vec<(Stage, Tally)>,
    store: store::Writer,
}

impl<'a> Pipeline<'a> {
    fn new(context: &'a Context<'a>, inputs: &Inputs, store: store::Writer) -> Self {
        let mut read = Tally::new("read");
        for (why, (count, first)) in &inputs.left_out {
            read.left_out(why.name(), *count, first, &reason(*why, ""));
        }
        let stages = context.job.spec.pipeline.iter().map(|stage| (Stage::new(stage), Tally::new(stage::name(stage))));
        Self { context, read, stages: stages.collect(), store }
    }

    fn push(&mut self, batch: Batch, hashes: &mut Vec<String>) -> Result<(), CleanError> {
        let mut documents = Vec::with_capacity(batch.len());
        for item in batch {
            match item {
                Item::Document(document) => {
                    self.read.kept(document.text.len() as u64, document.text.len() as u64);
                    documents.push(document);
                }
                Item::Skipped { origin, bytes, why, detail } => {
                    self.read.passed_over(bytes);
                    self.read.left_out(why.name(), 1, &origin, &reason(why, &detail));
                }
                Item::FileEnd { index, hash } => {
                    debug_assert_eq!(index, hashes.len(), "files end in order");
                    hashes.push(hash);
                }
            }
        }
        for (stage, tally) in &mut self.stages {
            documents = stage.apply(documents, tally)?;
        }
        let digests: Vec<Result<ContentDigest, CleanError>> = documents.par_iter().map(text_digest).collect();
        for (document, digest) in documents.iter().zip(digests) {
            self.store.push(digest?, &document.text)?;
        }
        Ok(())
    }

    fn report(&self, extent: Extent) -> Result<(), ProgressError> {
        self.counts().try_for_each(|counts| self.context.reporter.stage(counts, extent))
    }

    fn counts(&self) -> impl Iterator<Item = &StageCounts> {
        std::iter::once(&self.read).chain(self.stages.iter().map(|(_, tally)| tally)).map(Tally::counts)
    }

    fn finish(self, inputs: &Inputs, hashes: Vec<String>) -> Result<CleanRecord, CleanError> {
        self.report(Extent::Done)?;
        let left_out = &self.read.counts().left_out;
        if !left_out.is_empty() {
            tracing::info!(?left_out, "not everything in the sources is text");
        }
        let counts: Vec<StageCounts> = self.counts().cloned().collect();
        if counts.last().is_none_or(|last| last.documents_out == 0) {
            return Err(empty(&counts));
        }
        let stored = self.store.finish()?;
        Ok(CleanRecord::new(&self.context.job.spec, inputs, hashes, counts, stored))
    }
}

/// The digest of a document that is text.
fn text_digest(document: &Document) -> Result<ContentDigest, CleanError> {
    stage::as_text(document).map(|text| ContentDigest::of(text.as_bytes()))
}

/// What an example says of something that was left out.
fn reason(why: LeftOut, detail: &str) -> String {
    let separator = if detail.is_empty() { "" } else { ": " };
    format!("it is {}{separator}{detail}", why.phrase())
}

/// Names the stage behind which nothing is left.
fn empty(counts: &[StageCounts]) -> CleanError {
    let culprit = counts.iter().position(|counts| counts.documents_out == 0).unwrap_or(0);
    let stage = match culprit.checked_sub(1) {
        None => "read".to_owned(),
        Some(index) => format!("spec.pipeline[{index}] {}", counts[culprit].stage),
    };
    let trail =
        counts.iter().map(|counts| format!("{} {} -> {}", counts.stage, counts.documents_in, counts.documents_out));
    let mut trail = trail.collect::<Vec<_>>();
    trail.extend(counts[0].left_out.iter().map(|(what, many)| format!("left out {what}: {many}")));
    let remedy = if culprit == 0 { "name sources that hold text" } else { "loosen this stage or add sources" };
    CleanError::Empty { stage, counts: trail.join(", "), remedy }
}
