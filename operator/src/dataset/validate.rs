//! Refuses a Dataset that cannot work, before anything is read.
//!
//! Owns the rules on the spec alone. What needs the text (an empty corpus, a missing folder) is refused by the worker.

use bedplate_crds::dataset::{DatasetSpec, OnError, PipelineStage, Source, SourceFormat, TokenizerSource};

use crate::{
    pod,
    resource::{Kind, Resource},
    violation::{Checks, Invalid, Violation},
};

/// Schemes text can be read from.
const SOURCE_SCHEMES: [&str; 4] = ["file:", "http://", "https://", "s3://"];
/// The same, for people.
const SOURCE_URIS: &str = "file:relative/folder, file:///absolute/folder, http(s)://host/file, s3://bucket/prefix";
/// The 256 bytes and the end-of-text token.
const MIN_VOCAB_SIZE: u32 = 257;
/// Token ids beyond this would not fit the three bytes that the largest published vocabularies need with room to spare.
const MAX_VOCAB_SIZE: u32 = 1 << 20;
/// More than half of the text kept back is a mistake, not a hold-out.
const MAX_HOLDOUT_RATIO: f64 = 0.5;
/// Longest sequence: a million tokens, more than any published context.
const MAX_SEQUENCE_LENGTH: u32 = 1 << 20;

/// A Dataset whose every field has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidDataset(pub(crate) Resource<DatasetSpec>);

/// Checks every field.
///
/// # Errors
/// Every refused field, in the order of the spec.
pub fn validate(resource: &Resource<DatasetSpec>) -> Result<ValidDataset, Invalid> {
    let mut checks = Checks::of(&resource.metadata);
    let spec = &resource.spec;
    if spec.sources.is_empty() {
        let remedy = "name at least one place to read text from".to_owned();
        checks.refuse(Violation::Empty { field: "spec.sources".to_owned(), remedy });
    }
    for (i, source) in spec.sources.iter().enumerate() {
        check_source(&mut checks, &format!("spec.sources[{i}]"), source);
    }
    for (i, stage) in spec.pipeline.iter().enumerate() {
        check_stage(&mut checks, &format!("spec.pipeline[{i}]"), stage);
    }
    check_tokenizer(&mut checks, &spec.tokenizer);
    let length = spec.packing.sequence_length;
    checks.range(
        "spec.packing.sequenceLength",
        length,
        (2..=MAX_SEQUENCE_LENGTH).contains(&length),
        "from 2 to 1048576",
    );
    let ratio = spec.holdout.ratio;
    checks.range("spec.holdout.ratio", ratio, (0.0..=MAX_HOLDOUT_RATIO).contains(&ratio), "from 0 to 0.5");
    if let Some(storage) = &spec.storage {
        checks.name("spec.storage.persistentVolumeClaim", &storage.persistent_volume_claim);
    }
    pod::check_template(&mut checks, spec.pod_template.as_ref());
    checks.finish(Kind::Dataset, resource)?;
    Ok(ValidDataset(resource.clone()))
}

fn check_source(checks: &mut Checks, field: &str, source: &Source) {
    checks.uri(&format!("{field}.uri"), &source.uri, &SOURCE_SCHEMES, SOURCE_URIS);
    for (list, globs) in [("include", &source.include), ("exclude", &source.exclude)] {
        for (i, glob) in globs.iter().enumerate() {
            if let Err(error) = globset::Glob::new(glob) {
                let field = format!("{field}.{list}[{i}]");
                checks.refuse(Violation::Glob { field, glob: glob.clone(), reason: error.kind().to_string() });
            }
        }
    }
    if let Some(max_errors) = source.max_errors {
        let field = format!("{field}.maxErrors");
        checks.positive(&field, max_errors);
        let allowed = "only with onError: skip (without it the first error is the end)";
        checks.range(&field, max_errors, source.on_error == OnError::Skip, allowed);
    }
    if source.text_field.is_empty() && source.format != SourceFormat::Text {
        let remedy = "name the field or column that holds the text".to_owned();
        checks.refuse(Violation::Empty { field: format!("{field}.textField"), remedy });
    }
}

fn check_stage(checks: &mut Checks, field: &str, stage: &PipelineStage) {
    let share = |checks: &mut Checks, name: &str, value: f64| {
        checks.range(&format!("{field}.{name}"), value, (0.0..=1.0).contains(&value), "from 0 to 1");
    };
    match stage {
        PipelineStage::Utf8Repair { max_replaced_ratio } => share(checks, "maxReplacedRatio", *max_replaced_ratio),
        PipelineStage::Length { min_bytes, max_bytes: Some(max_bytes) } => {
            let field = format!("{field}.maxBytes");
            let allowed = format!("at least minBytes ({min_bytes}) and at least 1");
            checks.range(&field, max_bytes, max_bytes >= min_bytes && *max_bytes > 0, &allowed);
        }
        PipelineStage::LineFilter { max_line_chars, max_dropped_ratio } => {
            if let Some(chars) = max_line_chars {
                checks.positive(&format!("{field}.maxLineChars"), *chars);
            }
            share(checks, "maxDroppedRatio", *max_dropped_ratio);
        }
        PipelineStage::Length { max_bytes: None, .. } | PipelineStage::ExactDedup {} => {}
    }
}

fn check_tokenizer(checks: &mut Checks, tokenizer: &TokenizerSource) {
    match tokenizer {
        TokenizerSource::Train { vocab_size, max_train_bytes } => {
            let is_allowed = (MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(vocab_size);
            let allowed = "from 257 (256 bytes and the end-of-text token) to 1048576";
            checks.range("spec.tokenizer.vocabSize", vocab_size, is_allowed, allowed);
            checks.positive("spec.tokenizer.maxTrainBytes", *max_train_bytes);
        }
        TokenizerSource::Load { uri } => {
            let schemes = ["file:", "http://", "https://", "hf://"];
            let allowed =
                "file:relative/folder, file:///absolute/folder, http(s)://host/tokenizer.json, hf://owner/repository";
            checks.uri("spec.tokenizer.uri", uri, &schemes, allowed);
        }
    }
}
