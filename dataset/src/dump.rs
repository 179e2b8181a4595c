//! Writes the documents of a split as text, for comparisons with other compressors and models.

use std::io::{self, Write};

use crate::{
    clean::{CleanRecord, store::Documents},
    context::Context,
    sealed::SealedError,
    stop::Stopped,
};

/// Which documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitName {
    /// Those to train on.
    Train,
    /// Those kept back.
    Holdout,
}

/// Why a split could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The cleaned documents cannot be read.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// Nobody takes the text.
    #[error("cannot write the documents to the standard output")]
    Write(#[from] io::Error),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Writes every document of `split` to `out`, each ended by a NUL byte where the model has its end of text.
pub fn dump(
    context: &Context<'_>,
    clean: &CleanRecord,
    split: SplitName,
    out: &mut impl Write,
) -> Result<(), DumpError> {
    let ratio = context.job.spec.holdout.ratio;
    for segment in &clean.segments {
        for document in Documents::open(&context.workspace.path("clean"), segment)? {
            context.stop.check()?;
            let (digest, text) = document?;
            if digest.lot().is_held_out(ratio) == (split == SplitName::Holdout) {
                out.write_all(text.as_bytes())?;
                out.write_all(&[0])?;
            }
        }
    }
    Ok(out.flush()?)
}
