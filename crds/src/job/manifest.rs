//! The manifest of a finished Dataset: what the trainer, the report and the lineage read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `manifest.json` of a Dataset's output folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatasetManifest {
    /// Version of this format: 1.
    pub format_version: u32,
    /// blake3 over the content: tokenizer, packing and every shard's digest. Independent of paths and threads. Hex.
    pub digest: String,
    /// Tokens in a sequence.
    pub sequence_length: u32,
    /// Whether attention stops at document borders.
    pub document_mask: bool,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: u32,
    /// sha256 of `tokenizer.json`, hex.
    pub tokenizer_sha256: String,
    /// Id of the token that ends every document.
    pub end_of_text_id: u32,
    /// Documents before and after each stage, in order.
    pub stages: Vec<StageCounts>,
    /// The sequences to train on.
    pub train: Split,
    /// The sequences kept back.
    pub holdout: Split,
}

/// What one stage kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageCounts {
    /// Name of the stage.
    pub stage: String,
    /// Documents that went in.
    pub documents_in: u64,
    /// Documents that came out.
    pub documents_out: u64,
    /// Bytes that went in.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// What `read` left out, by what it is: `broken line`, `zip archive`, `hidden file`, and how many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// A few short examples of what the stage dropped or changed, for the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// One split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// Documents in it.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Tokens of their text, document borders included.
    pub tokens: u64,
    /// Sequences over all shards.
    pub sequences: u64,
    /// The files, in order.
    pub shards: Vec<ShardEntry>,
}

/// One shard file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardEntry {
    /// File name, relative to the manifest.
    pub file: String,
    /// Sequences in it.
    pub sequences: u64,
    /// Size of the file.
    pub bytes: u64,
    /// sha256 of the file, hex.
    pub sha256: String,
}
