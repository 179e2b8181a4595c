//! The token shard: packed sequences in one file.
//!
//! Owns the byte layout, written whole and read through a memory map. Never packs documents, never interprets a token.
//!
//! Little-endian: magic (8), version u32, token width in bytes u32 (2 or 4), sequence length u32, zero u32, sequences
//! u64, segments u64, blake3 (32) of the file with this field zeroed; then the tokens of every sequence, then
//! sequences + 1 running segment counts u32, then the segment lengths u32.

mod map;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use memmap2::Mmap;

pub use writer::{ShardSummary, ShardWriter};

const MAGIC: [u8; 8] = *b"BPSHARD\0";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 72;
const CHECKSUM: Range<usize> = 40..72;

/// Why a shard could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The file is missing, unreadable or cannot be mapped.
    #[error("cannot read the shard {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the shard {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no shard, is cut short or has changed since it was written.
    #[error("the shard {path} is corrupt: {reason}; delete the Dataset's output and run it again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The caller handed in a sequence that does not fit the shard.
    #[error("cannot add a sequence: {0}")]
    Sequence(String),
}

/// A shard on disk.
#[derive(Debug)]
pub struct TokenShard {
    map: Mmap,
    token_width: usize,
    sequence_length: usize,
    sequences: usize,
    segments: usize,
}

impl TokenShard {
    /// Maps the shard at `path` and checks its header, size and checksum (one pass over the file).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ShardError> {
        let path = path.as_ref();
        let map = map::open(path).map_err(|source| ShardError::Read { path: path.to_owned(), source })?;
        Self::check(map).map_err(|reason| ShardError::Corrupt { path: path.to_owned(), reason })
    }

    fn check(map: Mmap) -> Result<Self, String> {
        if map.len() < HEADER_LEN {
            return Err(format!("{} bytes are less than its header", map.len()));
        }
        if map[..8] != MAGIC {
            return Err("it does not begin like a shard".to_owned());
        }
        let version = u32_at(&map, 8);
        if version != VERSION {
            return Err(format!("format version {version} is unknown; this build reads {VERSION}"));
        }
        let token_width = u32_at(&map, 12) as usize;
        if token_width != 2 && token_width != 4 {
            return Err(format!("tokens of {token_width} bytes"));
        }
        let sequence_length = u32_at(&map, 16) as usize;
        let (sequences, segments) = (u64_at(&map, 24), u64_at(&map, 32));
        let wanted = file_len(token_width as u64, sequence_length as u64, sequences, segments);
        if wanted != Some(map.len() as u64) {
            return Err(format!("the file has {} bytes, its header speaks of another size", map.len()));
        }
        if checksum(&map[..CHECKSUM.start], &map[HEADER_LEN..]) != map[CHECKSUM] {
            return Err("its checksum does not match".to_owned());
        }
        Ok(Self { map, token_width, sequence_length, sequences: sequences as usize, segments: segments as usize })
    }

    /// Number of sequences.
    pub fn num_sequences(&self) -> usize {
        self.sequences
    }

    /// Tokens in a sequence.
    pub fn sequence_length(&self) -> usize {
        self.sequence_length
    }

    /// Number of segments over all sequences.
    pub fn num_segments(&self) -> usize {
        self.segments
    }

    /// Replaces `tokens` by the `sequence_length` tokens of sequence `index`, padding included, and `segment_lengths` by
    /// the lengths of its documents' pieces, whose sum is at most `sequence_length`.
    ///
    /// # Panics
    /// Where `index` is not below `num_sequences`.
    pub fn read(&self, index: usize, tokens: &mut Vec<u32>, segment_lengths: &mut Vec<u32>) {
        assert!(index < self.sequences, "sequence {index} of a shard that holds {}", self.sequences);
        let row = self.sequence_length * self.token_width;
        let start = HEADER_LEN + index * row;
        let bytes = &self.map[start..start + row];
        tokens.clear();
        if self.token_width == 2 {
            tokens.extend(bytes.as_chunks::<2>().0.iter().map(|token| u32::from(u16::from_le_bytes(*token))));
        } else {
            tokens.extend(bytes.as_chunks::<4>().0.iter().map(|token| u32::from_le_bytes(*token)));
        }
        let counts = HEADER_LEN + self.sequences * row;
        let (first, last) = (u32_at(&self.map, counts + 4 * index), u32_at(&self.map, counts + 4 * index + 4));
        let lengths = counts + 4 * (self.sequences + 1);
        segment_lengths.clear();
        segment_lengths.extend((first..last).map(|segment| u32_at(&self.map, lengths + 4 * segment as usize)));
    }
}

/// Size of a shard, or none where it exceeds what a file can have.
fn file_len(token_width: u64, sequence_length: u64, sequences: u64, segments: u64) -> Option<u64> {
    let tokens = token_width.checked_mul(sequence_length)?.checked_mul(sequences)?;
    let counts = sequences.checked_add(1)?.checked_add(segments)?.checked_mul(4)?;
    tokens.checked_add(counts)?.checked_add(HEADER_LEN as u64)
}

fn checksum(header: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    hasher.update(&[0; 32]);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has eight bytes"))
}
