//! Turns cleaned documents into tokens, in parallel and in order.
//!
//! Owns what is kept in `.stages/tokens`: one file for each file of documents, named by its content, so that a stopped
//! run goes on behind the last whole file. Never splits or packs.

pub mod store;
mod words;

use bedplate_crds::{dataset::TokenizerSource, job::manifest::StageCounts};
use bedplate_telemetry::progress::ProgressError;
use bedplate_tokenizer::TokenizerError;
use rayon::prelude::*;

use crate::{
    clean::{CleanRecord, Segment, store::Documents},
    context::Context,
    document::ContentDigest,
    pieces::{PIECE_BYTES, pieces},
    record::{self, CODE_VERSION, RecordError},
    report::Extent,
    sealed::SealedError,
    stop::Stopped,
    vocabulary::Vocabulary,
    workspace,
};
use store::{TokenFile, Width};
use words::WordCache;

/// Name of the stage in events.
const STAGE: &str = "tokenize";
/// Text that is tokenised between two looks at the clock and the wish to stop.
const BATCH_BYTES: usize = 4 << 20;

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// A document cannot be tokenised.
    #[error("spec.tokenizer cannot tokenise a document")]
    Encode(#[source] TokenizerError),
    /// The cache cannot be written or read.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// The cache cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] RecordError),
    /// Progress cannot be reported.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The files of tokens, in the order of the documents; those that are there already are kept.
///
/// # Errors
/// See [`TokenizeError`].
pub fn run(
    context: &Context<'_>,
    clean: &CleanRecord,
    vocabulary: &Vocabulary,
) -> Result<Vec<TokenFile>, TokenizeError> {
    let around = (vocabulary.tokenizer.prefix(), vocabulary.tokenizer.suffix());
    let key = record::key_of(&(CODE_VERSION, &vocabulary.sha256, vocabulary.end_of_text_id, around));
    let folder = context.workspace.folder(&format!("tokens/{}", &key[..16]))?;
    let width = Width::for_vocabulary(vocabulary.tokenizer.vocab_size());
    let is_trained = matches!(context.job.spec.tokenizer, TokenizerSource::Train { .. });
    let words = is_trained.then(WordCache::new);
    let mut work = Work { context, clean, vocabulary, counts: counts(), is_cached: true, words };
    let mut files = Vec::with_capacity(clean.segments.len());
    for segment in &clean.segments {
        let file = TokenFile { path: folder.join(format!("{}.tokens", &segment.digest[..32])), width };
        work.segment(segment, &file)?;
        files.push(file);
    }
    workspace::retain(&context.workspace.path("tokens"), |name| key.starts_with(name));
    workspace::retain(&folder, |name| files.iter().any(|file| file.path.ends_with(name)));
    context.reporter.stage(&work.counts, if work.is_cached { Extent::Cached } else { Extent::Done })?;
    Ok(files)
}

/// Reports the stage as skipped: what it made is packed already.
///
/// # Errors
/// Where the progress file takes no more.
pub fn report_cached(context: &Context<'_>, clean: &CleanRecord) -> Result<(), ProgressError> {
    let (documents, bytes) = (clean.documents, clean.bytes);
    let counts = StageCounts { documents_in: documents, documents_out: documents, bytes_in: bytes, ..counts() };
    context.reporter.stage(&counts, Extent::Cached)
}

struct Work<'a> {
    context: &'a Context<'a>,
    clean: &'a CleanRecord,
    vocabulary: &'a Vocabulary,
    counts: StageCounts,
    is_cached: bool,
    words: Option<WordCache>,
}

impl Work<'_> {
    /// Makes `file` of the documents in `segment`, unless it is there.
    fn segment(&mut self, segment: &Segment, file: &TokenFile) -> Result<(), TokenizeError> {
        if let Ok(token_bytes) = file.check() {
            self.counts.documents_in += segment.documents;
            self.counts.documents_out += segment.documents;
            self.counts.bytes_in += segment.bytes;
            self.counts.bytes_out += token_bytes;
            return Ok(());
        }
        self.is_cached = false;
        let mut writer = file.create()?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        for document in Documents::open(&self.context.workspace.path("clean"), segment)? {
            let document = document?;
            bytes += document.1.len();
            batch.push(document);
            if bytes >= BATCH_BYTES {
                self.batch(std::mem::take(&mut batch), &mut writer)?;
                bytes = 0;
            }
        }
        self.batch(batch, &mut writer)?;
        Ok(writer.seal()?)
    }

    fn batch(&mut self, batch: Vec<(ContentDigest, String)>, writer: &mut store::Writer) -> Result<(), TokenizeError> {
        self.context.stop.check()?;
        let end = self.vocabulary.end_of_text_id;
        for ((digest, text), tokens) in batch.iter().zip(self.encode_all(&batch)) {
            let tokens = tokens.map_err(TokenizeError::Encode)?;
            let tokens = self.vocabulary.tokenizer.document(tokens, end);
            self.counts.documents_in += 1;
            self.counts.documents_out += 1;
            self.counts.bytes_in += text.len() as u64;
            self.counts.bytes_out += writer.push(digest.lot(), text.len() as u64, &tokens)?;
        }
        if self.context.reporter.is_due() {
            let done = self.counts.bytes_in as f64 / self.clean.bytes.max(1) as f64;
            self.context.reporter.stage(&self.counts, Extent::Running(Some(done)))?;
        }
        Ok(())
    }

    /// Tokens of every document, in order. Long documents keep every thread busy as well, because pieces are shared out.
    fn encode_all(&self, batch: &[(ContentDigest, String)]) -> Vec<Result<Vec<u32>, TokenizerError>> {
        let tokenizer = &self.vocabulary.tokenizer;
        let encode = |piece: &str| match &self.words {
            Some(words) => words.encode(tokenizer, piece),
            None => tokenizer.encode(piece, false),
        };
        let all: Vec<(usize, &str)> = batch
            .iter()
            .enumerate()
            .flat_map(|(index, (_, text))| pieces(text, PIECE_BYTES).map(move |piece| (index, piece)))
            .collect();
        let encoded: Vec<_> = all.par_iter().map(|(index, piece)| (*index, encode(piece))).collect();
        let mut documents: Vec<Result<Vec<u32>, TokenizerError>> = batch.iter().map(|_| Ok(Vec::new())).collect();
        for (index, tokens) in encoded {
            match (&mut documents[index], tokens) {
                (Ok(document), Ok(tokens)) if document.is_empty() => *document = tokens,
                (Ok(document), Ok(tokens)) => document.extend(tokens),
                (document, Err(error)) => *document = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
        documents
    }
}

fn counts() -> StageCounts {
    StageCounts { stage: STAGE.to_owned(), ..StageCounts::default() }
}
