//! One safetensors file: its header is checked in full when it is opened, its tensors are read one at a time.
//!
//! Owns the byte layout and the conversion to f32. Never holds more than one tensor, and never maps the file: a
//! truncated or shrinking file is an error here, not a signal.

mod header;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use crate::quant::Format;
use header::Entry;

/// Largest header read, in bytes; the format's own reference reader has the same bound.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes of the length that a file begins with.
const LENGTH_BYTES: u64 = 8;
/// Bytes written between two system calls; large enough that the calls do not show.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What went wrong with a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be created or written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The header is not one of a safetensors file.
    #[error("{} is not a safetensors file: {reason}; fetch or write it again", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// git-lfs left a note in the place of the file.
    #[error("{} is a Git LFS pointer in the place of the file; fetch the file itself with git lfs pull", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The file is shorter or longer than its header says.
    #[error("{} holds {found} bytes but its header describes {expected}; it was cut short or overwritten, fetch it again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes the header describes.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A tensor that is not in the file.
    #[error("{} holds no tensor {name}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor in a number format that this engine does not read.
    #[error(
        "tensor {name} of {} is {dtype}, which is not supported: F32, F16 and BF16 are; save the model in one of them \
         (from before it was quantised, if it was), or use its GGUF file",
        path.display()
    )]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its format, in the file's words.
        dtype: String,
    },
    /// A tensor of another size than the caller's buffer.
    #[error("tensor {name} of {} has {found} elements where {expected} are needed", path.display())]
    Elements {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Elements asked for.
        expected: usize,
        /// Elements there are.
        found: usize,
    },
}

impl SafetensorsError {
    /// Whether the file's bytes are damaged, rather than unreadable for this process or of a kind that is not supported.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Header { .. } | Self::Length { .. })
    }
}

/// An open file whose header holds together and whose length agrees with it.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    file: File,
    data_start: u64,
    tensors: BTreeMap<String, Entry>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        let read = |source| SafetensorsError::Read { path: path.to_owned(), source };
        let header = |reason: String| SafetensorsError::Header { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(read)?;
        let found = file.metadata().map_err(read)?.len();
        if found < LENGTH_BYTES {
            return Err(header(format!("it has only {found} bytes")));
        }
        let mut length = [0u8; LENGTH_BYTES as usize];
        file.read_exact(&mut length).map_err(read)?;
        if length == header::LFS_POINTER[..length.len()] {
            return Err(SafetensorsError::LfsPointer { path: path.to_owned() });
        }
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(header(format!("its header claims {header_bytes} bytes")));
        }
        let data_start = LENGTH_BYTES + header_bytes;
        if data_start > found {
            return Err(SafetensorsError::Length { path: path.to_owned(), expected: data_start, found });
        }
        let mut json = vec![0u8; header_bytes as usize];
        file.read_exact(&mut json).map_err(read)?;
        let (tensors, data_len) = header::parse(&json).map_err(header)?;
        let expected = data_start + data_len;
        if expected != found {
            return Err(SafetensorsError::Length { path: path.to_owned(), expected, found });
        }
        Ok(Self { path: path.to_owned(), file, data_start, tensors })
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// Raw little-endian bytes of a tensor, row-major.
    pub fn read_raw(&mut self, name: &str) -> Result<Vec<u8>, SafetensorsError> {
        let mut bytes = vec![0u8; self.num_bytes(name)? as usize];
        self.read_part(name, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Bytes that a tensor takes.
    pub fn num_bytes(&self, name: &str) -> Result<u64, SafetensorsError> {
        let (start, end) = self.entry(name)?.offsets;
        Ok(end - start)
    }

    /// Reads raw bytes of a tensor from `offset` on, which are there.
    pub(crate) fn read_part(&mut self, name: &str, offset: u64, out: &mut [u8]) -> Result<(), SafetensorsError> {
        let start = self.data_start + self.entry(name)?.offsets.0 + offset;
        let read = |source| SafetensorsError::Read { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(start)).map_err(read)?;
        self.file.read_exact(out).map_err(read)
    }

    fn entry(&self, name: &str) -> Result<&Entry, SafetensorsError> {
        let missing = || SafetensorsError::Missing { path: self.path.clone(), name: name.to_owned() };
        self.tensors.get(name).ok_or_else(missing)
    }

    /// The format of a tensor of F32, F16 or BF16.
    pub fn stored_format(&self, name: &str) -> Result<Format, SafetensorsError> {
        let dtype = &self.entry(name)?.dtype;
        match dtype.as_str() {
            "F32" => Ok(Format::F32),
            "F16" => Ok(Format::F16),
            "BF16" => Ok(Format::BF16),
            _ => Err(SafetensorsError::Dtype { path: self.path.clone(), name: name.to_owned(), dtype: dtype.clone() }),
        }
    }

    /// Reads a tensor of F32, F16 or BF16 into `out`, row-major. Copies, since a tensor may begin at any byte.
    pub fn read_f32(&mut self, name: &str, out: &mut [f32]) -> Result<(), SafetensorsError> {
        let format = self.stored_format(name)?;
        let found = self.entry(name)?.shape.iter().product();
        if found != out.len() {
            return Err(SafetensorsError::Elements {
                path: self.path.clone(),
                name: name.to_owned(),
                expected: out.len(),
                found,
            });
        }
        let bytes = self.read_raw(name)?;
        match format {
            Format::F16 => convert(&bytes, out, |pair| f16::from_le_bytes(pair).to_f32()),
            Format::BF16 => convert(&bytes, out, |pair| bf16::from_le_bytes(pair).to_f32()),
            _ => convert(&bytes, out, f32::from_le_bytes),
        }
        Ok(())
    }
}

fn convert<const N: usize>(bytes: &[u8], out: &mut [f32], element: impl Fn([u8; N]) -> f32) {
    for (value, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = element(*chunk);
    }
}

/// A named f32 tensor to write.
#[derive(Clone, Debug)]
pub struct NamedTensor<'data> {
    /// Name, in Hugging Face's words.
    pub name: String,
    /// Rows first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: &'data [f32],
}

/// What a written file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFile {
    /// Bytes.
    pub bytes: u64,
    /// blake3 of the content, hex.
    pub blake3: String,
}

/// Writes tensors as F32 in the given order, flushes the file, and hashes it on the way.
///
/// The bytes depend on names, shapes, order and elements only.
pub fn write_safetensors(path: &Path, tensors: &[NamedTensor<'_>]) -> Result<WrittenFile, SafetensorsError> {
    let header = encode_header(path, tensors)?;
    write_body(path, &header, tensors).map_err(|source| SafetensorsError::Write { path: path.to_owned(), source })
}

fn encode_header(path: &Path, tensors: &[NamedTensor<'_>]) -> Result<Vec<u8>, SafetensorsError> {
    let mut offset = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let end = offset + size_of_val(tensor.data);
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets: (offset, end) };
        infos.push((tensor.name.clone(), info));
        offset = end;
    }
    let refused = |reason: String| SafetensorsError::Header { path: path.to_owned(), reason };
    // transformers refuses a file that does not say which framework's layout it has; "pt" means plain row-major.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).map_err(|error| refused(error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| refused(error.to_string()))?;
    json.resize(json.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    Ok(json)
}

fn write_body(path: &Path, header: &[u8], tensors: &[NamedTensor<'_>]) -> io::Result<WrittenFile> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, File::create(path)?);
    let mut put = |chunk: &[u8]| {
        hasher.update(chunk);
        bytes += chunk.len() as u64;
        out.write_all(chunk)
    };
    put(&(header.len() as u64).to_le_bytes())?;
    put(header)?;
    for tensor in tensors {
        put(bytemuck::cast_slice(tensor.data))?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(WrittenFile { bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// blake3 of a file's content, hex; reads it in pieces.
pub fn blake3_file(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
