//! GGUF model files, versions 2 and 3: metadata, tokenizer arrays and tensors.
//!
//! Owns the byte format only. Every count and offset is checked against the bytes that are there before anything is
//! allocated or sliced, so a hostile or truncated file is a clear error and never a panic. It never interprets a
//! tensor's numbers (`quant` does) and never builds a model (`serving` does).
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod metadata;
mod tensor;
mod tensor_type;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::{Path, PathBuf};

use memmap2::Mmap;

use cursor::Cursor;
pub use metadata::{Array, Metadata, Value};
pub use tensor::TensorInfo;
pub use tensor_type::TensorType;
pub use vocabulary::Vocabulary;
pub(crate) use vocabulary::special_id;

const MAGIC: &[u8; 4] = b"GGUF";
/// Alignment of the data section where the file does not say (`general.alignment`).
const DEFAULT_ALIGNMENT: u64 = 32;
/// More than any published model has of either; a larger count is a corrupt header, refused before the loop starts.
const MAX_ENTRIES: u64 = 1 << 17;

/// What can be wrong with a GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("open {path}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("not a GGUF file: it does not start with the letters GGUF")]
    Magic,
    #[error("GGUF version {0} is not supported (2 and 3 are); convert the model again, or use a newer Bedplate")]
    Version(u32),
    #[error("a big-endian GGUF file is not supported; convert the model as little-endian (without --bigendian)")]
    BigEndian,
    #[error("truncated: {what} needs {needed} bytes at offset {offset}, the file has {available} left")]
    Truncated { what: &'static str, offset: usize, needed: u64, available: usize },
    #[error("{what} count {count} is absurd (at most {limit})")]
    Count { what: &'static str, count: u64, limit: u64 },
    #[error("{what} at offset {offset} is not valid UTF-8")]
    Utf8 { what: &'static str, offset: usize },
    #[error("metadata key {key:?} has unknown value type {kind}")]
    ValueType { key: String, kind: u32 },
    #[error("metadata key {0:?} appears twice")]
    DuplicateKey(String),
    #[error("metadata key {0:?} is missing")]
    MissingKey(String),
    #[error("metadata key {key:?} is not {expected}")]
    WrongType { key: String, expected: &'static str },
    #[error("metadata key {key:?} is {what}, which is not supported; convert the model again")]
    Unreadable { key: String, what: &'static str },
    #[error(
        "metadata key {key:?} differs from layer to layer, which is not supported; use a model whose layers are alike"
    )]
    PerLayer { key: String },
    #[error("tensor {0:?} appears twice")]
    DuplicateTensor(String),
    #[error(
        "tensor {name:?} is {kind}, which is not supported; convert the model to F32, F16, BF16, Q8_0, Q4_0 or Q4_1"
    )]
    TensorType { name: String, kind: TensorType },
    #[error("tensor {name:?}: {reason}")]
    Tensor { name: String, reason: String },
    #[error("tensors {first:?} and {second:?} overlap")]
    Overlap { first: String, second: String },
    #[error("tensor {0:?} is missing")]
    MissingTensor(String),
}

impl GgufError {
    /// Whether the file's bytes are damaged, rather than unreadable for this process or of a kind that is not supported.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Version(_) | Self::BigEndian | Self::TensorType { .. } => false,
            Self::MissingKey(_) | Self::WrongType { .. } | Self::Unreadable { .. } | Self::PerLayer { .. } => false,
            Self::MissingTensor(_) => false,
            Self::Magic | Self::Truncated { .. } | Self::Count { .. } | Self::Utf8 { .. } => true,
            Self::ValueType { .. } | Self::DuplicateKey(_) | Self::DuplicateTensor(_) => true,
            Self::Tensor { .. } | Self::Overlap { .. } => true,
        }
    }
}

/// An open GGUF file: parsed header over mapped (or owned) bytes.
#[derive(Debug)]
pub struct GgufFile {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    data_start: usize,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl GgufFile {
    /// Maps and checks the file at `path`. Tensor data is not touched.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let map = crate::mmap::map_file(path).map_err(|source| GgufError::Open { path: path.into(), source })?;
        Self::parse(Bytes::Mapped(map))
    }

    /// The same over bytes in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GgufError> {
        Self::parse(Bytes::Owned(bytes))
    }

    fn parse(bytes: Bytes) -> Result<Self, GgufError> {
        let all = bytes.as_slice();
        let mut cursor = Cursor::new(all);
        if cursor.take("magic", 4).map_err(|_| GgufError::Magic)? != MAGIC {
            return Err(GgufError::Magic);
        }
        let version = cursor.u32("version")?;
        match version {
            2..=3 => {}
            _ if (1..=3).contains(&version.swap_bytes()) => return Err(GgufError::BigEndian),
            _ => return Err(GgufError::Version(version)),
        }
        let tensor_count = cursor.count("tensor", MAX_ENTRIES)?;
        let metadata_count = cursor.count("metadata", MAX_ENTRIES)?;
        let metadata = Metadata::read(&mut cursor, metadata_count)?;
        let alignment = alignment(&metadata)?;
        let mut tensors = TensorInfo::read_all(&mut cursor, tensor_count)?;
        let data_start = (cursor.offset() as u64).next_multiple_of(alignment);
        tensor::check_layout(&mut tensors, alignment, (all.len() as u64).saturating_sub(data_start))?;
        Ok(Self { metadata, tensors, data_start: data_start as usize, bytes })
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    pub fn find(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok().map(|i| &self.tensors[i])
    }

    /// The tensor `name` and its bytes, rows one after another as stored. Refuses one of a type that is not computed.
    pub fn tensor(&self, name: &str) -> Result<(&TensorInfo, &[u8]), GgufError> {
        let info = self.find(name).ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        info.format()?;
        let start = self.data_start + info.offset as usize;
        Ok((info, &self.bytes.as_slice()[start..start + info.num_bytes as usize]))
    }

    /// The tokenizer's arrays and special ids.
    pub fn vocabulary(&self) -> Result<Vocabulary, GgufError> {
        Vocabulary::read(&self.metadata)
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let key = "general.alignment";
    let alignment = metadata.optional_u64(key)?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > 1 << 16 {
        return Err(GgufError::WrongType { key: key.into(), expected: "a power of two up to 65536" });
    }
    Ok(alignment)
}
