//! The record of the cleaned documents: which files they were made of and what came out.

use bedplate_crds::{dataset::DatasetSpec, job::manifest::StageCounts};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CleanError, store::Stored};
use crate::{
    context::Context,
    record::{self, CODE_VERSION, RecordError},
    source::{self, InputFile, Inputs, SourceError},
};

/// Where the record lies, under `.stages`.
const FILE: &str = "clean/record.json";

/// Which files were cleaned, and into what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CleanRecord {
    /// Key of everything but the files: code version, formats, globs and pipeline.
    key: String,
    files: Vec<FileRecord>,
    /// Counts of `read` and of each stage.
    pub stages: Vec<StageCounts>,
    /// The files of documents, in order.
    pub segments: Vec<Segment>,
    /// Documents in all segments.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// blake3 over the digest of every document in order, hex.
    pub digest: String,
}

/// One file of the sources, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileRecord {
    source: usize,
    path: String,
    size: Option<u64>,
    stamp: Option<String>,
    hash: String,
}

/// One file of cleaned documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// Its name in `.stages/clean`.
    pub file: String,
    /// Documents in it.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// blake3 over the digest of every document in order, hex.
    pub digest: String,
}

impl CleanRecord {
    pub(super) fn new(
        spec: &DatasetSpec,
        inputs: &Inputs,
        hashes: Vec<String>,
        stages: Vec<StageCounts>,
        stored: Stored,
    ) -> Self {
        let files = inputs.files.iter().zip(hashes).map(|(file, hash)| FileRecord {
            source: file.source,
            path: file.path.clone(),
            size: file.size,
            stamp: file.stamp.clone(),
            hash,
        });
        let Stored { segments, documents, bytes, digest } = stored;
        Self { key: key(spec, inputs), files: files.collect(), stages, segments, documents, bytes, digest }
    }

    /// Writes the record; from now on the stage is finished.
    pub(super) fn save(&self, context: &Context<'_>) -> Result<(), RecordError> {
        record::save(&context.workspace.path(FILE), self)
    }
}

/// Key of what decides, besides the files, what comes out and is counted. Where a source lies is not part of it.
fn key(spec: &DatasetSpec, inputs: &Inputs) -> String {
    let sources = spec
        .sources
        .iter()
        .map(|source| (source.format, &source.include, &source.exclude, &source.text_field, source.tolerated_errors()));
    let left_out = inputs.left_out.iter().map(|(why, found)| (why.name(), found));
    record::key_of(&(CODE_VERSION, sources.collect::<Vec<_>>(), &spec.pipeline, left_out.collect::<Vec<_>>()))
}

/// The record, where it was made of exactly these files. Files whose times moved are hashed before they count as new.
pub(super) fn find(context: &Context<'_>, inputs: &Inputs) -> Result<Option<CleanRecord>, CleanError> {
    let files = &inputs.files;
    let Some(mut found) = record::load::<CleanRecord>(&context.workspace.path(FILE)) else { return Ok(None) };
    let is_same = |(old, new): (&FileRecord, &InputFile)| {
        let same_size = old.size.zip(new.size).is_none_or(|(old, new)| old == new);
        old.source == new.source && old.path == new.path && same_size
    };
    if found.key != key(&context.job.spec, inputs)
        || found.files.len() != files.len()
        || !found.files.iter().zip(files).all(is_same)
    {
        return Ok(None);
    }
    let doubtful: Vec<(&mut FileRecord, &InputFile)> =
        found.files.iter_mut().zip(files).filter(|(old, new)| new.stamp.is_none() || old.stamp != new.stamp).collect();
    let is_any = !doubtful.is_empty();
    let confirmed = doubtful.into_par_iter().map(|(old, new)| {
        context.stop.check()?;
        old.stamp.clone_from(&new.stamp);
        Ok(source::content_hash(new)? == old.hash)
    });
    let confirmed = confirmed.collect::<Result<Vec<bool>, SourceError>>()?;
    if !confirmed.into_iter().all(|is_equal| is_equal) {
        return Ok(None);
    }
    if is_any {
        found.save(context)?;
    }
    Ok(Some(found))
}
