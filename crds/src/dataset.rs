//! `Dataset`: which text to read, how to clean it, and how to cut it into token shards.
//!
//! Owns the spec and its defaults. Never reads a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pod_template::PodTemplate;

#[cfg(feature = "kube")]
pub mod status;

/// Desired state of a Dataset: sources in, token shards out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "kube", derive(kube::CustomResource))]
#[cfg_attr(
    feature = "kube",
    kube(
        group = "bedplate.dev",
        version = "v1alpha1",
        kind = "Dataset",
        doc = "Text in, token shards out: where the text comes from, how it is cleaned, and how it is cut into sequences.",
        namespaced,
        status = "status::DatasetStatus",
        derive = "PartialEq",
        shortname = "dset",
        category = "bedplate",
        printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
        printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
        printcolumn(name = "Progress", type_ = "string", json_path = ".status.summary.progress"),
        printcolumn(name = "Documents", type_ = "integer", json_path = ".status.documents"),
        printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.tokens"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
        printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shards", priority = 1),
        printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.bytes", priority = 1),
        printcolumn(name = "Digest", type_ = "string", json_path = ".status.digest", priority = 1),
        validation = crate::schema::SHORT_NAME
    )
)]
#[schemars(transform = crate::schema::structural)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "has(self.storage) == has(oldSelf.storage)",
      "message": "storage cannot be added or removed: the shards lie there; make a new Dataset" }]))]
pub struct DatasetSpec {
    /// Where the text comes from; read in order.
    #[schemars(length(min = 1, max = 64))]
    pub sources: Vec<Source>,
    /// Stages every document passes, in order. Empty keeps every document as it was read.
    #[serde(default)]
    #[schemars(length(max = 32))]
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
    #[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": "storage cannot change: the shards lie there; make a new Dataset" }]))]
    pub storage: Option<Storage>,
    /// Settings of the pods that no field above covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// One place text is read from.
///
/// Files that are no text (archives, PDF, office files, images, programs) and what lies beside data in folders (hidden
/// files, `.git`, `_SUCCESS`, checksums) are left out and counted; a uri that names one directly is refused. Gzip, zstd,
/// bzip2 and xz are seen through, byte order marks and UTF-16 and UTF-32 are decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "!has(self.maxErrors) || (has(self.onError) && self.onError == 'skip')",
      "message": "maxErrors goes with onError: skip only: add onError: skip, or remove maxErrors" }]))]
pub struct Source {
    /// `file:///absolute`, `file:relative/to/the/inputs/folder`, `https://…` or `s3://bucket/prefix`.
    #[schemars(length(max = 2048), extend("x-kubernetes-validations" = [
        { "rule": "self.matches('^(file:|https?://|s3://)/*[^/]')",
          "message": "use file:relative/folder, file:///absolute/folder, http(s)://host/file or s3://bucket/prefix" }]))]
    pub uri: String,
    /// How the bytes hold documents.
    #[serde(default)]
    pub format: SourceFormat,
    /// Globs, relative to the uri, of which at least one must match. Empty takes every file. Hidden files and folders are
    /// read only where a glob names the dot, as `.github/**` does, and HTML under another name than `*.html` and its like
    /// only where a glob of the list holds `htm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub include: Vec<String>,
    /// Globs, relative to the uri, of which none may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub exclude: Vec<String>,
    /// Field (jsonl) or column (parquet) that holds the text. Where it is null, a missing number (`NaN`) or empty, there is
    /// no document; these are counted.
    #[serde(default = "default_text_field")]
    #[schemars(length(min = 1, max = 256))]
    pub text_field: String,
    /// What becomes of a line that holds no text (jsonl), and of a file that is damaged or in whose place something else
    /// lies, such as a git-lfs pointer or an error page (jsonl, parquet, anything compressed). Default: `fail`.
    #[serde(default, skip_serializing_if = "OnError::is_fail")]
    pub on_error: OnError,
    /// Most of them that are skipped; one more, and the Dataset fails. Default: 100. Goes with `onError: skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_errors: Option<u64>,
}

impl Source {
    /// Broken lines and damaged files that may be skipped; none where the first one is the end.
    pub fn tolerated_errors(&self) -> u64 {
        match self.on_error {
            OnError::Fail => 0,
            OnError::Skip => self.max_errors.unwrap_or(DEFAULT_MAX_ERRORS),
        }
    }
}

/// Enough for the torn ends of a large corpus, too few for a corpus that is something else than was thought.
const DEFAULT_MAX_ERRORS: u64 = 100;

/// What becomes of a broken line or a damaged file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It ends the Dataset; the message says where it is.
    #[default]
    Fail,
    /// It is left out, counted and shown as an example.
    Skip,
}

impl OnError {
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
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
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": "!has(self.minBytes) || !has(self.maxBytes) || self.minBytes <= self.maxBytes",
      "message": "maxBytes is less than minBytes, so no document would be kept: raise maxBytes or lower minBytes" }]))]
pub enum PipelineStage {
    /// Replaces by U+FFFD what is no text (invalid UTF-8, lone surrogates of JSON and UTF-16, NUL) and drops documents with
    /// too much of it.
    Utf8Repair {
        /// Largest share (0 to 1) of replaced characters a document may have.
        #[serde(default = "default_max_replaced_ratio")]
        #[schemars(range(min = 0.0, max = 1.0))]
        max_replaced_ratio: f64,
    },
    /// Drops documents whose length in bytes lies outside the bounds.
    Length {
        /// Fewest bytes of UTF-8 a document may have.
        #[serde(default)]
        min_bytes: u64,
        /// Most bytes of UTF-8 a document may have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        max_bytes: Option<u64>,
    },
    /// Drops lines, or documents with too many of them.
    LineFilter {
        /// Longest line kept, in characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        max_line_chars: Option<u64>,
        /// Largest share (0 to 1) of dropped lines a document may have before it is dropped whole.
        #[serde(default = "default_max_dropped_ratio")]
        #[schemars(range(min = 0.0, max = 1.0))]
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
        #[schemars(range(min = 257, max = 1_048_576))]
        vocab_size: u32,
        /// Most bytes of text to train on; documents are taken in a fixed pseudo-random order until it is reached.
        #[serde(default = "default_max_train_bytes")]
        #[schemars(range(min = 1))]
        max_train_bytes: u64,
    },
    /// Loads a `tokenizer.json`.
    Load {
        /// Uri of the file or of its folder: `file:`, `http(s)://` or `hf://owner/repository`.
        #[schemars(length(max = 2048), extend("x-kubernetes-validations" = [
            { "rule": "self.matches('^(file:|https?://|hf://)/*[^/]')",
              "message": "use file:relative/folder, file:///absolute/folder, http(s)://host/tokenizer.json or hf://owner/repository" }]))]
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
    #[schemars(range(min = 2, max = 1_048_576))]
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
    #[schemars(range(min = 0.0, max = 0.5))]
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
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub persistent_volume_claim: String,
}
