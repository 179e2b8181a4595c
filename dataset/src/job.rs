//! Reads and checks the job file: what can be refused before anything is read is refused here.

use std::path::{Path, PathBuf};

use bedplate_crds::{
    dataset::{DatasetSpec, OnError, PipelineStage, TokenizerSource},
    job::DatasetJob,
};
use bedplate_tokenizer::train::MIN_VOCAB_SIZE;

/// A sequence of one token has nothing to predict.
const MIN_SEQUENCE_LENGTH: u32 = 2;
/// A million tokens, more than any published context.
const MAX_SEQUENCE_LENGTH: u32 = 1 << 20;
/// More than half of the text kept back is a mistake, not a hold-out.
const MAX_HOLDOUT_RATIO: f64 = 0.5;

/// Why a job cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no readable file.
    #[error("cannot read the job file {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no job of ours.
    #[error("{path} is no Dataset job file", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: serde_json::Error,
    },
    /// A field cannot be what it is.
    #[error("{field}: {found} is not allowed; {remedy}")]
    Check {
        /// The field.
        field: String,
        /// What is there.
        found: String,
        /// What to write instead.
        remedy: String,
    },
}

/// The job in the file at `path`.
pub fn read(path: &Path) -> Result<DatasetJob, JobError> {
    let content = std::fs::read(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&content).map_err(|source| JobError::Parse { path: path.to_owned(), source })
}

/// Refuses what cannot work. The same rules as the operator's, for jobs that were written by hand.
pub fn check(spec: &DatasetSpec) -> Result<(), JobError> {
    ensure(!spec.sources.is_empty(), "spec.sources", &"[]", "name at least one place to read text from")?;
    for (index, source) in spec.sources.iter().enumerate() {
        if let Some(max_errors) = &source.max_errors {
            let is_allowed = *max_errors > 0 && source.on_error == OnError::Skip;
            let remedy = "write at least 1, and onError: skip beside it";
            ensure(is_allowed, &format!("spec.sources[{index}].maxErrors"), max_errors, remedy)?;
        }
    }
    for (index, stage) in spec.pipeline.iter().enumerate() {
        check_stage(&format!("spec.pipeline[{index}]"), stage)?;
    }
    if let TokenizerSource::Train { vocab_size, max_train_bytes } = &spec.tokenizer {
        let remedy = format!("write at least {MIN_VOCAB_SIZE}: 256 bytes and the end-of-text token");
        ensure(*vocab_size >= MIN_VOCAB_SIZE, "spec.tokenizer.vocabSize", vocab_size, &remedy)?;
        ensure(*max_train_bytes > 0, "spec.tokenizer.maxTrainBytes", max_train_bytes, "write at least 1")?;
    }
    let length = spec.packing.sequence_length;
    let is_allowed = (MIN_SEQUENCE_LENGTH..=MAX_SEQUENCE_LENGTH).contains(&length);
    ensure(is_allowed, "spec.packing.sequenceLength", &length, "write a number from 2 to 1048576")?;
    let ratio = spec.holdout.ratio;
    let is_allowed = (0.0..=MAX_HOLDOUT_RATIO).contains(&ratio);
    ensure(is_allowed, "spec.holdout.ratio", &ratio, "write a number from 0 to 0.5")
}

fn check_stage(field: &str, stage: &PipelineStage) -> Result<(), JobError> {
    let share = |name: &str, value: f64| {
        ensure((0.0..=1.0).contains(&value), &format!("{field}.{name}"), &value, "write a number from 0 to 1")
    };
    match stage {
        PipelineStage::Utf8Repair { max_replaced_ratio } => share("maxReplacedRatio", *max_replaced_ratio),
        PipelineStage::LineFilter { max_dropped_ratio, .. } => share("maxDroppedRatio", *max_dropped_ratio),
        PipelineStage::Length { min_bytes, max_bytes: Some(max_bytes) } => {
            let remedy = format!("write at least minBytes ({min_bytes})");
            ensure(max_bytes >= min_bytes, &format!("{field}.maxBytes"), max_bytes, &remedy)
        }
        PipelineStage::Length { max_bytes: None, .. } | PipelineStage::ExactDedup {} => Ok(()),
    }
}

fn ensure(is_allowed: bool, field: &str, found: &dyn std::fmt::Display, remedy: &str) -> Result<(), JobError> {
    if is_allowed {
        return Ok(());
    }
    Err(JobError::Check { field: field.to_owned(), found: found.to_string(), remedy: remedy.to_owned() })
}
