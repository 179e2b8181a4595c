//! The output folder as others read it: manifest, tokenizer, shards.
//!
//! Owns the order in which they appear: whatever moment a process dies in, there is either a manifest whose every file
//! is there, or none.

use std::{
    fs::{self, File},
    path::Path,
};

use bedplate_crds::job::manifest::{DatasetManifest, StageCounts};
use bedplate_tokenizer::TokenShard;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    clean::CleanRecord,
    context::Context,
    pack::Packed,
    record::{self, CODE_VERSION, RecordError, failed},
    vocabulary::Vocabulary,
    workspace,
};

/// What readers look for first and we write last.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Version of the manifest's format.
const FORMAT_VERSION: u32 = 1;
/// Separates this digest from every other use of blake3.
const DIGEST_CONTEXT: &str = "bedplate.dev v1alpha1 Dataset digest";
/// Where the record of the finished output lies, under `.stages`.
const RECORD: &str = "finished.json";

/// What the finished output was made of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FinishedRecord {
    key: String,
    /// blake3 of the manifest's file, hex.
    manifest: String,
}

fn key(context: &Context<'_>, clean: &CleanRecord, vocabulary: &Vocabulary) -> String {
    let spec = &context.job.spec;
    let files: Vec<_> = vocabulary.files.iter().map(|(name, content)| (name, hash(content))).collect();
    record::key_of(&(CODE_VERSION, &clean.digest, &clean.stages, files, &spec.packing, spec.holdout.ratio.to_bits()))
}

/// The manifest that is there, where it was made of exactly this and every file it names is whole.
pub fn find(context: &Context<'_>, clean: &CleanRecord, vocabulary: &Vocabulary) -> Option<DatasetManifest> {
    let output_dir = context.workspace.output_dir();
    let found: FinishedRecord = record::load(&context.workspace.path(RECORD))?;
    let content = fs::read(output_dir.join(MANIFEST_FILE)).ok()?;
    let manifest: DatasetManifest = serde_json::from_slice(&content).ok()?;
    let are_files_there = || {
        vocabulary
            .files
            .iter()
            .all(|(name, content)| fs::read(output_dir.join(name)).is_ok_and(|there| there == *content))
    };
    let shards: Vec<_> = manifest.train.shards.iter().chain(&manifest.holdout.shards).collect();
    let are_shards_whole = || shards.par_iter().all(|shard| TokenShard::open(output_dir.join(&shard.file)).is_ok());
    let is_same = found == FinishedRecord { key: key(context, clean, vocabulary), manifest: hash(&content) };
    (is_same && are_files_there() && are_shards_whole()).then_some(manifest)
}

/// Makes the output whole: the shards are there already, the manifest comes last.
///
/// # Errors
/// Where the disk takes no more.
pub fn publish(
    context: &Context<'_>,
    clean: &CleanRecord,
    vocabulary: &Vocabulary,
    packed: Packed,
) -> Result<DatasetManifest, RecordError> {
    let output_dir = context.workspace.output_dir();
    let manifest = manifest(context, clean.stages.clone(), vocabulary, packed);
    let is_other = |(name, content): &(String, Vec<u8>)| fs::read(output_dir.join(name)).ok().as_ref() != Some(content);
    if vocabulary.files.iter().any(is_other) {
        // From here until the new manifest there is none: the old one's tokenizer is about to go.
        remove(&output_dir.join(MANIFEST_FILE))?;
        for (name, content) in &vocabulary.files {
            record::write_durably(&output_dir.join(name), content)?;
        }
    }
    sync(output_dir)?;
    let path = output_dir.join(MANIFEST_FILE);
    record::write_json(&path, &manifest)?;
    sync(output_dir)?;
    let written = fs::read(&path).map_err(failed(&path))?;
    let finished = FinishedRecord { key: key(context, clean, vocabulary), manifest: hash(&written) };
    record::save(&context.workspace.path(RECORD), &finished)?;
    remove_outdated(output_dir, &manifest);
    Ok(manifest)
}

/// blake3 of `content`, hex.
fn hash(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

fn manifest(
    context: &Context<'_>,
    stages: Vec<StageCounts>,
    vocabulary: &Vocabulary,
    packed: Packed,
) -> DatasetManifest {
    let packing = &context.job.spec.packing;
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
    let shape = format!(
        "tokenizer {}\nend of text {}\nsequence length {}\ndocument mask {}\ntrain {} holdout {}\n",
        vocabulary.sha256,
        vocabulary.end_of_text_id,
        packing.sequence_length,
        packing.document_mask,
        packed.train.shards.len(),
        packed.holdout.shards.len()
    );
    hasher.update(shape.as_bytes());
    for digest in &packed.shard_digests {
        hasher.update(digest.as_bytes());
    }
    DatasetManifest {
        format_version: FORMAT_VERSION,
        digest: hasher.finalize().to_hex().to_string(),
        sequence_length: packing.sequence_length,
        document_mask: packing.document_mask,
        vocab_size: vocabulary.vocab_size(),
        tokenizer_sha256: vocabulary.sha256.clone(),
        end_of_text_id: vocabulary.end_of_text_id,
        stages,
        train: packed.train,
        holdout: packed.holdout,
    }
}

/// Removes shards that no manifest names any more. Whoever has mapped one keeps it until it is closed.
fn remove_outdated(output_dir: &Path, manifest: &DatasetManifest) {
    let shards: Vec<&str> =
        manifest.train.shards.iter().chain(&manifest.holdout.shards).map(|shard| shard.file.as_str()).collect();
    let is_ours =
        |name: &str| name.ends_with(".tokens") && (name.starts_with("train-") || name.starts_with("holdout-"));
    workspace::retain(output_dir, |name| !is_ours(name) || shards.contains(&name));
}

fn remove(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in `folder` as durable as the files.
fn sync(folder: &Path) -> Result<(), RecordError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}
