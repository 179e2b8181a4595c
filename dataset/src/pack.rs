//! The last stage: splits, packs and writes shards.
//!
//! Shards get their names from their content, so that a run that dies has overwritten nothing an older manifest names.
//!
//! Memory: for each split one window of the packer and one shard.

use std::path::PathBuf;

use bedplate_crds::job::manifest::{ShardEntry, Split, StageCounts};
use bedplate_telemetry::progress::ProgressError;
use bedplate_tokenizer::{ShardWriter, shard::ShardError};

use crate::{
    context::Context,
    packing::{Packer, Sequence},
    record::{RecordError, failed},
    report::Extent,
    sealed::SealedError,
    stop::Stopped,
    tokenize::store::{TokenFile, TokenisedDocument},
};

/// Name of the stage in events.
pub const STAGE: &str = "pack";
/// Largest shard: it is held in memory until it is whole, and is the grain in which a trainer maps files.
const MAX_SHARD_BYTES: usize = 64 << 20;
/// Hex digits of a shard's checksum in its name.
const NAME_DIGITS: usize = 12;

/// Why there are no shards.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A shard cannot be written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A shard cannot be given its name.
    #[error(transparent)]
    Place(#[from] RecordError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// Nothing is left to train on.
    #[error(
        "spec.holdout.ratio: no document is left to train on, all {documents} are held out; lower the ratio or add sources"
    )]
    NoTraining {
        /// Documents there are.
        documents: u64,
    },
    /// Progress cannot be reported.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The packed splits.
#[derive(Debug)]
pub struct Packed {
    /// The sequences to train on.
    pub train: Split,
    /// The sequences kept back.
    pub holdout: Split,
    /// blake3 of every shard's content, train first.
    pub shard_digests: Vec<String>,
}

/// Packs the documents in `files` into shards in the output folder.
///
/// # Errors
/// See [`PackError`].
pub fn run(context: &Context<'_>, files: &[TokenFile], vocab_size: u32, documents: u64) -> Result<Packed, PackError> {
    let spec = &context.job.spec;
    let mut train = SplitWriter::new(context, "train", vocab_size);
    let mut holdout = SplitWriter::new(context, "holdout", vocab_size);
    let mut document = TokenisedDocument::default();
    let mut done = 0_u64;
    for file in files {
        let mut reader = file.documents()?;
        while let Some(lot) = reader.next_into(&mut document)? {
            context.stop.check()?;
            let split = if lot.is_held_out(spec.holdout.ratio) { &mut holdout } else { &mut train };
            split.push(&document)?;
            done += 1;
            if context.reporter.is_due() {
                let counts = counts(&[&train.split, &holdout.split]);
                context.reporter.stage(&counts, Extent::Running(Some(done as f64 / documents.max(1) as f64)))?;
            }
        }
    }
    let (train, mut shard_digests) = train.finish()?;
    let (holdout, holdout_digests) = holdout.finish()?;
    shard_digests.extend(holdout_digests);
    if train.documents == 0 {
        return Err(PackError::NoTraining { documents: holdout.documents });
    }
    if holdout.documents == 0 && spec.holdout.ratio > 0.0 {
        tracing::warn!(ratio = spec.holdout.ratio, documents, "no document is held out; evaluation will find nothing");
    }
    context.reporter.stage(&counts(&[&train, &holdout]), Extent::Done)?;
    Ok(Packed { train, holdout, shard_digests })
}

/// What the stage reports of finished splits.
pub fn counts(splits: &[&Split]) -> StageCounts {
    let documents = splits.iter().map(|split| split.documents).sum();
    StageCounts {
        stage: STAGE.to_owned(),
        documents_in: documents,
        documents_out: documents,
        bytes_in: splits.iter().map(|split| split.bytes).sum(),
        bytes_out: splits.iter().flat_map(|split| &split.shards).map(|shard| shard.bytes).sum(),
        ..StageCounts::default()
    }
}

/// One split while it is packed.
struct SplitWriter {
    packer: Packer,
    shards: Shards,
    split: Split,
}

impl SplitWriter {
    fn new(context: &Context<'_>, name: &'static str, vocab_size: u32) -> Self {
        let sequence_length = context.job.spec.packing.sequence_length;
        let shards = Shards {
            name,
            output_dir: context.workspace.output_dir().to_owned(),
            partial: context.workspace.stages().join(format!("{name}.shard")),
            writer: ShardWriter::new(sequence_length, vocab_size),
            empty: (sequence_length, vocab_size),
            entries: Vec::new(),
            digests: Vec::new(),
        };
        Self { packer: Packer::new(sequence_length as usize), shards, split: Split::default() }
    }

    fn push(&mut self, document: &TokenisedDocument) -> Result<(), PackError> {
        self.split.documents += 1;
        self.split.bytes += document.text_bytes;
        self.split.tokens += document.tokens.len() as u64;
        self.packer.push(&document.tokens, &mut |sequence| self.shards.push(sequence))
    }

    fn finish(mut self) -> Result<(Split, Vec<String>), PackError> {
        self.packer.finish(&mut |sequence| self.shards.push(sequence))?;
        self.shards.close()?;
        let Shards { entries, digests, .. } = self.shards;
        let sequences = entries.iter().map(|entry| entry.sequences).sum();
        Ok((Split { sequences, shards: entries, ..self.split }, digests))
    }
}

/// The shards of one split.
struct Shards {
    name: &'static str,
    output_dir: PathBuf,
    partial: PathBuf,
    writer: ShardWriter,
    /// Sequence length and vocabulary size of a new shard.
    empty: (u32, u32),
    entries: Vec<ShardEntry>,
    digests: Vec<String>,
}

impl Shards {
    fn push(&mut self, sequence: &Sequence) -> Result<(), PackError> {
        // Four bytes bound a token and a segment length.
        let bytes = 4 * (self.empty.0 as usize + sequence.segment_lengths.len() + 1);
        if self.writer.sequences() > 0 && self.writer.bytes() + bytes > MAX_SHARD_BYTES {
            self.close()?;
        }
        Ok(self.writer.push(&sequence.tokens, &sequence.segment_lengths)?)
    }

    /// Writes the shard, if there is anything in it, and gives it its name.
    fn close(&mut self) -> Result<(), PackError> {
        let writer = std::mem::replace(&mut self.writer, ShardWriter::new(self.empty.0, self.empty.1));
        if writer.sequences() == 0 {
            return Ok(());
        }
        let summary = writer.finish(&self.partial)?;
        let file = format!("{}-{:05}-{}.tokens", self.name, self.entries.len(), &summary.blake3[..NAME_DIGITS]);
        let path = self.output_dir.join(&file);
        std::fs::rename(&self.partial, &path).map_err(failed(&path))?;
        self.digests.push(summary.blake3);
        let (sequences, bytes, sha256) = (summary.sequences, summary.bytes, summary.sha256);
        self.entries.push(ShardEntry { file, sequences, bytes, sha256 });
        Ok(())
    }
}
