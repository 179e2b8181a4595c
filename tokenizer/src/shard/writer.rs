//! Collects sequences and writes them as one shard.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{CHECKSUM, HEADER_LEN, MAGIC, ShardError, VERSION, checksum};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSummary {
    /// Sequences in the shard.
    pub sequences: u64,
    /// Size of the file.
    pub bytes: u64,
    /// sha256 of the file, hex.
    pub sha256: String,
    /// blake3 of the content, hex: the checksum in the header.
    pub blake3: String,
}

/// A shard that grows in memory (the caller bounds it by `bytes`) and reaches the disk whole or not at all.
#[derive(Debug)]
pub struct ShardWriter {
    token_width: usize,
    sequence_length: usize,
    tokens: Vec<u8>,
    counts: Vec<u32>,
    lengths: Vec<u32>,
}

impl ShardWriter {
    /// An empty shard of sequences of `sequence_length` tokens below `vocab_size`.
    pub fn new(sequence_length: u32, vocab_size: u32) -> Self {
        let token_width = if vocab_size <= u32::from(u16::MAX) + 1 { 2 } else { 4 };
        let sequence_length = sequence_length as usize;
        Self { token_width, sequence_length, tokens: Vec::new(), counts: vec![0], lengths: Vec::new() }
    }

    /// Sequences so far.
    pub fn sequences(&self) -> usize {
        self.counts.len() - 1
    }

    /// Bytes the file would have now.
    pub fn bytes(&self) -> usize {
        HEADER_LEN + self.tokens.len() + 4 * (self.counts.len() + self.lengths.len())
    }

    /// Adds a sequence of at most `sequence_length` tokens, which is padded with zeros; `segment_lengths` sum to the
    /// number of tokens.
    pub fn push(&mut self, tokens: &[u32], segment_lengths: &[u32]) -> Result<(), ShardError> {
        let covered: u64 = segment_lengths.iter().map(|&length| u64::from(length)).sum();
        if tokens.len() > self.sequence_length || covered != tokens.len() as u64 {
            return Err(ShardError::Sequence(format!(
                "{} tokens in segments of {covered} for a sequence of {}",
                tokens.len(),
                self.sequence_length
            )));
        }
        let limit = 1_u64 << (8 * self.token_width);
        if let Some(token) = tokens.iter().find(|&&token| u64::from(token) >= limit) {
            return Err(ShardError::Sequence(format!("token {token} does not fit {} bytes", self.token_width)));
        }
        let total = u32::try_from(self.lengths.len() + segment_lengths.len())
            .map_err(|_| ShardError::Sequence("more than 2^32 segments in one shard".to_owned()))?;
        for token in tokens {
            self.tokens.extend_from_slice(&token.to_le_bytes()[..self.token_width]);
        }
        self.tokens.resize(self.tokens.len() + (self.sequence_length - tokens.len()) * self.token_width, 0);
        self.lengths.extend_from_slice(segment_lengths);
        self.counts.push(total);
        Ok(())
    }

    /// Writes the shard to `path`: first beside it, then renamed, so that no reader sees a part.
    pub fn finish(self, path: impl AsRef<Path>) -> Result<ShardSummary, ShardError> {
        let path = path.as_ref();
        let sequences = self.sequences() as u64;
        let (header, body) = self.into_parts();
        let write = || -> io::Result<()> {
            let partial = path.with_extension("partial");
            let mut file = File::create(&partial)?;
            file.write_all(&header)?;
            file.write_all(&body)?;
            file.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().map_err(|source| ShardError::Write { path: path.to_owned(), source })?;
        let mut sha256 = Sha256::new();
        sha256.update(&header);
        sha256.update(&body);
        Ok(ShardSummary {
            sequences,
            bytes: (header.len() + body.len()) as u64,
            sha256: hex(&sha256.finalize()),
            blake3: hex(&header[CHECKSUM]),
        })
    }

    fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        for field in [VERSION, self.token_width as u32, self.sequence_length as u32, 0] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        for field in [self.sequences() as u64, self.lengths.len() as u64] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        let mut body = self.tokens;
        for field in self.counts.iter().chain(&self.lengths) {
            body.extend_from_slice(&field.to_le_bytes());
        }
        let sum = checksum(&header, &body);
        header.extend_from_slice(&sum);
        (header, body)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
