//! `manifest.json` of a checkpoint: the trainer's state beside the hash of every file.
//!
//! Owns the format and its digest. Holds nothing that depends on paths, clocks, or how many processes trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const FORMAT_VERSION: u32 = 1;

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    format_version: u32,
    /// Where training stands.
    pub state: TrainerState,
    /// The files, weights first.
    pub files: Vec<FileEntry>,
    /// blake3 over this manifest without this field, hex.
    digest: String,
}

/// Where training stands; the tensors are in the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainerState {
    /// Optimiser steps done.
    pub step: u64,
    /// Sequences trained on so far, over all processes: the position in the data order.
    pub samples: u64,
    /// Target tokens trained on so far, over all processes.
    pub tokens: u64,
    /// What must not change between attempts (seed, batch size, dataset digests, model shape): field and value.
    pub recipe: BTreeMap<String, String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// Its name in the checkpoint's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// blake3 of its content, hex.
    pub blake3: String,
}

impl Manifest {
    pub(super) fn new(state: TrainerState, files: Vec<FileEntry>) -> Self {
        let mut manifest = Self { format_version: FORMAT_VERSION, state, files, digest: String::new() };
        manifest.digest = manifest.content_digest();
        manifest
    }

    /// Parses and checks a manifest; the error says what is wrong with it.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| format!("manifest.json: {error}"))?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(format!("manifest.json has format version {}, not {FORMAT_VERSION}", manifest.format_version));
        }
        if manifest.digest != manifest.content_digest() {
            return Err("manifest.json does not match its digest".to_owned());
        }
        Ok(manifest)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("numbers and strings are always serialisable")
    }

    /// Digest of the whole state, hex: equal for equal state, whoever wrote it.
    pub fn digest(&self) -> String {
        self.digest.clone()
    }

    /// Size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    fn content_digest(&self) -> String {
        let content = (self.format_version, &self.state, &self.files);
        let json = serde_json::to_vec(&content).expect("numbers and strings are always serialisable");
        blake3::hash(&json).to_hex().to_string()
    }
}
