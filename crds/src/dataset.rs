//! `Dataset`: which text to read, how to clean it, and how to cut it into token shards.
//!
//! Owns the spec and its defaults. Never reads a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Desired state of a Dataset: sources in, token shards out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatasetSpec {
    /// Where the text comes from; read in order.
    pub sources: Vec<Source>,
    /// Stages every document passes, in order. Empty keeps every document as it was read.
    #[serde(default)]
    pub pipeline: Vec<PipelineStage>,
    /// The tokenizer: trained on this text, or loaded.
    pub tokenizer: TokenizerSource,
    /// How documents are packed into sequences of equal length.
    pub packing: Packing,
    /// The part of the documents kept back from training.
    #[serde(default)]
    pub holdout: Holdout,
    /// Where the shards are written. Default: the storage of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// One place text is read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `file:///absolute`, `file:relative/to/the/inputs/folder`, `https://…` or `s3://bucket/prefix`.
    pub uri: String,
    /// How the bytes hold documents.
    #[serde(default)]
    pub format: SourceFormat,
    /// Globs, relative to the uri, of which at least one must match. Empty takes every file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Globs, relative to the uri, of which none may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Field (jsonl) or column (parquet) that holds the text.
    #[serde(default = "default_text_field")]
    pub text_field: String,
}

fn default_text_field() -> String {
    "text".to_owned()
}

/// How a file holds documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceFormat {
    /// One document a file.
    #[default]
    Text,
    /// One JSON object a line.
    Jsonl,
    /// One document a row.
    Parquet,
}

/// One cleaning stage. A closed list; stages run in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PipelineStage {
    /// Replaces invalid UTF-8 by U+FFFD and drops documents with too much of it.
    Utf8Repair {
        /// Largest share (0 to 1) of replaced characters a document may have.
        #[serde(default = "default_max_replaced_ratio")]
        max_replaced_ratio: f64,
    },
    /// Drops documents whose length in bytes lies outside the bounds.
    Length {
        /// Fewest bytes of UTF-8 a document may have.
        #[serde(default)]
        min_bytes: u64,
        /// Most bytes of UTF-8 a document may have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_bytes: Option<u64>,
    },
    /// Drops lines, or documents with too many of them.
    LineFilter {
        /// Longest line kept, in characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_line_chars: Option<u64>,
        /// Largest share (0 to 1) of dropped lines a document may have before it is dropped whole.
        #[serde(default = "default_max_dropped_ratio")]
        max_dropped_ratio: f64,
    },
    /// Keeps the first of the documents whose text is the same byte for byte.
    ExactDedup {},
}

fn default_max_replaced_ratio() -> f64 {
    0.01
}

fn default_max_dropped_ratio() -> f64 {
    0.1
}

/// Where the tokenizer comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum TokenizerSource {
    /// Trains a byte-level BPE (Sennrich et al. 2016, GPT-2's byte alphabet) on the kept training documents.
    Train {
        /// Entries of the vocabulary, special tokens included; at least 257.
        vocab_size: u32,
        /// Most bytes of text to train on; documents are taken in a fixed pseudo-random order until it is reached.
        #[serde(default = "default_max_train_bytes")]
        max_train_bytes: u64,
    },
    /// Loads a `tokenizer.json`.
    Load {
        /// Uri of the file or of its folder.
        uri: String,
    },
}

fn default_max_train_bytes() -> u64 {
    32 << 20
}

/// How documents become sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Packing {
    /// Tokens in a sequence.
    pub sequence_length: u32,
    /// Whether attention stops at the borders of documents that share a sequence.
    #[serde(default = "default_true")]
    pub document_mask: bool,
}

pub(crate) fn default_true() -> bool {
    true
}

/// The part kept back from training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holdout {
    /// Share of the documents (0 to 0.5), chosen by a hash of their content.
    pub ratio: f64,
}

impl Default for Holdout {
    fn default() -> Self {
        Self { ratio: 0.01 }
    }
}

/// Where artefacts are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// A PersistentVolumeClaim in the namespace of the resource. Without a cluster it is a folder of that name.
    pub persistent_volume_claim: String,
}
