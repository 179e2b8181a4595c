//! The tokenizer of the Dataset: trained on the documents that are not held out, or loaded.
//!
//! Owns which documents are trained on and what is kept in `.stages/tokenizer`. Never owns how a BPE is trained.

mod load;
mod sample;

use std::path::PathBuf;

use bedplate_crds::{dataset::TokenizerSource, job::manifest::StageCounts};
use bedplate_telemetry::progress::ProgressError;
use bedplate_tokenizer::{Tokenizer, TokenizerError, train_byte_level_bpe};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clean::CleanRecord,
    context::Context,
    pieces::{PIECE_BYTES, pieces},
    record::{self, CODE_VERSION, RecordError},
    report::Extent,
    sealed::SealedError,
    stop::Stopped,
};
pub use load::LoadError;

/// Name of the stage in events, and of its folder.
const STAGE: &str = "tokenizer";
/// Where the record lies, under `.stages`.
const RECORD: &str = "tokenizer/record.json";
/// The file that every tokenizer has.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Why there is no tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// Every document is held out.
    #[error(
        "spec.holdout.ratio: no document is left to train the tokenizer on ({documents} documents, all held out); lower the ratio or add sources"
    )]
    Sample {
        /// Documents there are.
        documents: u64,
    },
    /// The text has fewer patterns than the vocabulary has room.
    #[error(
        "spec.tokenizer.vocabSize: the text gives only {found} entries, {wanted} were asked for; lower vocabSize to at most {found} or add text"
    )]
    Fill {
        /// Entries found.
        found: usize,
        /// Entries wanted.
        wanted: u32,
    },
    /// The tokenizer says nothing of how a document ends.
    #[error(
        "spec.tokenizer.uri: the tokenizer names no end-of-text token; name a folder whose tokenizer_config.json has eos_token"
    )]
    EndOfText,
    /// The tokenizer cannot be trained or read.
    #[error("spec.tokenizer cannot be used")]
    Use(#[source] TokenizerError),
    /// The tokenizer cannot be fetched.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The cleaned documents cannot be read.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// The result cannot be kept.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Progress cannot be reported.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A tokenizer that is ready to use, and the files it came from.
#[derive(Debug)]
pub struct Vocabulary {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Names and contents of its files, `tokenizer.json` first.
    pub files: Vec<(String, Vec<u8>)>,
    /// sha256 of `tokenizer.json`, hex.
    pub sha256: String,
    /// Token that ends every document.
    pub end_of_text_id: u32,
}

impl Vocabulary {
    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        u32::try_from(self.tokenizer.vocab_size()).expect("token ids are u32")
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TrainRecord {
    key: String,
    sha256: String,
    counts: StageCounts,
}

/// The tokenizer that the job asks for.
///
/// # Errors
/// See [`VocabularyError`].
pub fn run(context: &Context<'_>, clean: &CleanRecord) -> Result<Vocabulary, VocabularyError> {
    match &context.job.spec.tokenizer {
        TokenizerSource::Train { vocab_size, max_train_bytes } => train(context, clean, *vocab_size, *max_train_bytes),
        TokenizerSource::Load { uri } => {
            let folder = load::fetch(context, uri)?;
            let vocabulary = open(&folder)?;
            context.reporter.stage(&counts(0, 0), Extent::Done)?;
            Ok(vocabulary)
        }
    }
}

fn train(
    context: &Context<'_>,
    clean: &CleanRecord,
    vocab_size: u32,
    max_train_bytes: u64,
) -> Result<Vocabulary, VocabularyError> {
    let ratio = context.job.spec.holdout.ratio;
    let key = record::key_of(&(CODE_VERSION, &clean.digest, ratio.to_bits(), vocab_size, max_train_bytes));
    let folder = context.workspace.path(STAGE);
    if let Some(found) = record::load::<TrainRecord>(&context.workspace.path(RECORD)).filter(|found| found.key == key)
        && let Ok(vocabulary) = open(&folder)
        && vocabulary.sha256 == found.sha256
    {
        context.reporter.stage(&found.counts, Extent::Cached)?;
        return Ok(vocabulary);
    }
    context.workspace.begin(STAGE)?;
    let sample = sample::draw(context, clean, max_train_bytes)?;
    if sample.is_empty() {
        return Err(VocabularyError::Sample { documents: clean.documents });
    }
    let bytes = sample.iter().map(|text| text.len() as u64).sum();
    let counts = counts(sample.len() as u64, bytes);
    context.reporter.stage(&counts, Extent::Running(None))?;
    let parts = sample.iter().flat_map(|text| pieces(text, PIECE_BYTES)).take_while(|_| !context.stop.is_requested());
    let tokenizer = train_byte_level_bpe(parts, vocab_size).map_err(VocabularyError::Use)?;
    context.stop.check()?;
    if tokenizer.vocab_size() < vocab_size as usize {
        return Err(VocabularyError::Fill { found: tokenizer.vocab_size(), wanted: vocab_size });
    }
    let json = tokenizer.to_json().map_err(VocabularyError::Use)?;
    record::write_durably(&folder.join(TOKENIZER_FILE), json.as_bytes())?;
    let vocabulary = open(&folder)?;
    let sha256 = vocabulary.sha256.clone();
    record::save(&context.workspace.path(RECORD), &TrainRecord { key, sha256, counts: counts.clone() })?;
    context.reporter.stage(&counts, Extent::Done)?;
    Ok(vocabulary)
}

/// Reads the tokenizer in `folder`.
fn open(folder: &std::path::Path) -> Result<Vocabulary, VocabularyError> {
    let tokenizer = Tokenizer::from_folder(folder).map_err(VocabularyError::Use)?;
    let mut files = Vec::new();
    for name in load::FILES {
        let path: PathBuf = folder.join(name);
        match std::fs::read(&path) {
            Ok(content) => files.push((name.to_owned(), content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(VocabularyError::Use(TokenizerError::Read { path, source })),
        }
    }
    let sha256 = files.first().map(|(_, content)| Sha256::digest(content)).unwrap_or_default();
    let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let end_of_text_id = *tokenizer.eos_token_ids().first().ok_or(VocabularyError::EndOfText)?;
    Ok(Vocabulary { tokenizer, files, sha256, end_of_text_id })
}

fn counts(documents: u64, bytes: u64) -> StageCounts {
    StageCounts {
        stage: STAGE.to_owned(),
        documents_in: documents,
        documents_out: documents,
        bytes_in: bytes,
        bytes_out: bytes,
        ..StageCounts::default()
    }
}
