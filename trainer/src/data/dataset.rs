//! One Dataset on the disk: its manifest, tokenizer and shards, each checked against its hash.
//!
//! Owns opening and reading. Never writes, and never chooses the order.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bedplate_crds::job::manifest::{DatasetManifest, ShardEntry, Split};
use bedplate_tokenizer::{TokenShard, Tokenizer, TokenizerError, shard::ShardError};
use sha2::{Digest, Sha256};

const MANIFEST_FILE: &str = "manifest.json";
const TOKENIZER_FILE: &str = "tokenizer.json";
const FORMAT_VERSION: u32 = 1;
/// Bytes hashed between two system calls; large enough that the calls do not show.
const READ_BYTES: usize = 1 << 20;

/// Why a Dataset cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is no finished Dataset in the folder.
    #[error("{} holds no finished Dataset (manifest.json is missing); check datasetDirs, and run the Dataset first", dir.display())]
    FindManifest {
        /// The folder.
        dir: PathBuf,
    },
    /// A file of the Dataset cannot be read.
    #[error("cannot read {}; run the Dataset again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest does not parse.
    #[error("{} is not a Dataset manifest; run the Dataset again", path.display())]
    ParseManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest is of another version.
    #[error("{} has formatVersion {found}, this build reads {FORMAT_VERSION}; run the Dataset again", path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u32,
    },
    /// No sequence to train on.
    #[error("the Dataset in {} has no sequence to train on; its sources hold too little text, or its pipeline drops all of it", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// A file whose bytes are not those that the Dataset wrote.
    #[error("{} does not match the manifest ({reason}); delete the Dataset's output and run it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A shard cannot be used.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// An open Dataset.
#[derive(Debug)]
pub struct Dataset {
    name: String,
    dir: PathBuf,
    manifest: DatasetManifest,
    train: Sequences,
    holdout: Sequences,
}

/// The sequences of one split, over all its shards.
#[derive(Debug)]
pub struct Sequences {
    shards: Vec<TokenShard>,
    /// Sequences before each shard.
    starts: Vec<u64>,
    len: u64,
    document_mask: bool,
}

impl Dataset {
    /// Opens the Dataset in `dir` and checks every file against the manifest (one pass over all of them).
    pub fn open(name: &str, dir: &Path) -> Result<Self, DatasetError> {
        let manifest = read_manifest(dir)?;
        if manifest.train.sequences == 0 {
            return Err(DatasetError::Empty { dir: dir.to_owned() });
        }
        check_sha256(&dir.join(TOKENIZER_FILE), &manifest.tokenizer_sha256)?;
        let train = Sequences::open(dir, &manifest, &manifest.train)?;
        let holdout = Sequences::open(dir, &manifest, &manifest.holdout)?;
        Ok(Self { name: name.to_owned(), dir: dir.to_owned(), manifest, train, holdout })
    }

    /// Its name in the spec.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is in it.
    pub fn manifest(&self) -> &DatasetManifest {
        &self.manifest
    }

    /// The sequences to train on; at least one.
    pub fn train(&self) -> &Sequences {
        &self.train
    }

    /// The sequences kept back; maybe none.
    pub fn holdout(&self) -> &Sequences {
        &self.holdout
    }

    /// The first token that is `least` or above, if it holds any (one pass over all sequences).
    pub fn find_token_from(&self, least: u32) -> Option<u32> {
        let (mut tokens, mut segment_lengths) = (Vec::new(), Vec::new());
        let splits = [&self.train, &self.holdout].into_iter();
        let mut sequences = splits.flat_map(|split| (0..split.len()).map(move |index| (split, index)));
        sequences.find_map(|(split, index)| {
            split.read(index, &mut tokens, &mut segment_lengths);
            tokens.iter().copied().find(|token| *token >= least)
        })
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer, DatasetError> {
        Ok(Tokenizer::from_file(self.dir.join(TOKENIZER_FILE))?)
    }
}

impl Sequences {
    fn open(dir: &Path, manifest: &DatasetManifest, split: &Split) -> Result<Self, DatasetError> {
        let mut shards = Vec::with_capacity(split.shards.len());
        let mut starts = Vec::with_capacity(split.shards.len());
        let mut len = 0;
        for entry in &split.shards {
            let shard = open_shard(dir, manifest, entry)?;
            starts.push(len);
            len += shard.num_sequences() as u64;
            shards.push(shard);
        }
        if len != split.sequences {
            let reason = format!("the shards hold {len} sequences where it lists {}", split.sequences);
            return Err(DatasetError::Changed { path: dir.join(MANIFEST_FILE), reason });
        }
        Ok(Self { shards, starts, len, document_mask: manifest.document_mask })
    }

    /// Number of sequences.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Replaces `tokens` and `segment_lengths` by those of sequence `index`. Without a document mask the sequence is one
    /// segment: attention and targets cross the borders of documents, never into the padding.
    pub fn read(&self, index: u64, tokens: &mut Vec<u32>, segment_lengths: &mut Vec<u32>) {
        let place = self.starts.partition_point(|start| *start <= index) - 1;
        self.shards[place].read((index - self.starts[place]) as usize, tokens, segment_lengths);
        if !self.document_mask {
            let whole = segment_lengths.iter().sum();
            segment_lengths.clear();
            segment_lengths.push(whole);
        }
    }
}

fn read_manifest(dir: &Path) -> Result<DatasetManifest, DatasetError> {
    let path = dir.join(MANIFEST_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DatasetError::FindManifest { dir: dir.to_owned() });
        }
        Err(source) => return Err(DatasetError::Read { path, source }),
    };
    let manifest: DatasetManifest =
        serde_json::from_slice(&bytes).map_err(|source| DatasetError::ParseManifest { path: path.clone(), source })?;
    match manifest.format_version {
        FORMAT_VERSION => Ok(manifest),
        found => Err(DatasetError::FormatVersion { path, found }),
    }
}

fn open_shard(dir: &Path, manifest: &DatasetManifest, entry: &ShardEntry) -> Result<TokenShard, DatasetError> {
    let path = dir.join(&entry.file);
    let shard = TokenShard::open(&path)?;
    check_sha256(&path, &entry.sha256)?;
    let found = (shard.num_sequences() as u64, shard.sequence_length() as u64);
    let expected = (entry.sequences, u64::from(manifest.sequence_length));
    if found != expected {
        let reason =
            format!("{} sequences of {} tokens where it lists {} of {}", found.0, found.1, expected.0, expected.1);
        return Err(DatasetError::Changed { path, reason });
    }
    Ok(shard)
}

fn check_sha256(path: &Path, expected: &str) -> Result<(), DatasetError> {
    let read = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer).map_err(read)? {
            0 => break,
            len => hasher.update(&buffer[..len]),
        }
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != expected {
        return Err(DatasetError::Changed { path: path.to_owned(), reason: format!("its sha256 is {found}") });
    }
    Ok(())
}
