//! The tensor directory: names, shapes, types and where the bytes lie. It never reads tensor data.

use super::cursor::Cursor;
use super::{GgufError, TensorType};
use crate::quant::Format;

/// One tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    /// As in the file: the fastest dimension first, so a `[rows, columns]` matrix reads `[columns, rows]`.
    pub dimensions: Vec<u64>,
    pub kind: TensorType,
    /// From the start of the data section, in bytes.
    pub offset: u64,
    /// 0 where the type, and so the size, is not known.
    pub num_bytes: u64,
}

impl TensorInfo {
    pub(super) fn read_all(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Self>, GgufError> {
        (0..count).map(|_| Self::read(cursor)).collect()
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let name = cursor.string("tensor name")?.to_owned();
        let bad = |reason: String| GgufError::Tensor { name: name.clone(), reason };
        let num_dimensions = cursor.u32("tensor dimension count")?;
        if !(1..=4).contains(&num_dimensions) {
            return Err(bad(format!("{num_dimensions} dimensions (1 to 4 are allowed)")));
        }
        let dimensions = (0..num_dimensions).map(|_| cursor.u64("tensor dimension")).collect::<Result<Vec<_>, _>>()?;
        let kind = TensorType(cursor.u32("tensor type")?);
        let offset = cursor.u64("tensor offset")?;
        let num_bytes = num_bytes(&dimensions, kind).map_err(bad)?;
        Ok(Self { name, dimensions, kind, offset, num_bytes })
    }

    /// How its numbers are stored.
    pub fn format(&self) -> Result<Format, GgufError> {
        let unsupported = || GgufError::TensorType { name: self.name.clone(), kind: self.kind };
        self.kind.format().ok_or_else(unsupported)
    }

    /// `(rows, columns)` of a matrix, `(1, columns)` of a vector; `None` for more dimensions.
    pub fn matrix_shape(&self) -> Option<(usize, usize)> {
        match self.dimensions[..] {
            [columns] => Some((1, columns as usize)),
            [columns, rows] => Some((rows as usize, columns as usize)),
            _ => None,
        }
    }
}

fn num_bytes(dimensions: &[u64], kind: TensorType) -> Result<u64, String> {
    if dimensions.contains(&0) {
        return Err("a dimension is zero".into());
    }
    let Some((block, block_bytes)) = kind.block() else { return Ok(0) };
    if !dimensions[0].is_multiple_of(block) {
        return Err(format!("row length {} is not a multiple of the {block}-element block of {kind}", dimensions[0]));
    }
    let elements = dimensions.iter().try_fold(1u64, |product, &dimension| product.checked_mul(dimension));
    let bytes = elements.and_then(|elements| (elements / block).checked_mul(block_bytes));
    bytes.filter(|&bytes| bytes <= i64::MAX as u64).ok_or_else(|| format!("shape {dimensions:?} overflows"))
}

/// Sorts by name and refuses what lies outside the data section, off its alignment, on another tensor or twice.
pub(super) fn check_layout(tensors: &mut [TensorInfo], alignment: u64, data_len: u64) -> Result<(), GgufError> {
    tensors.sort_by_key(|tensor| tensor.offset);
    for tensor in tensors.iter() {
        let end = tensor.offset.checked_add(tensor.num_bytes);
        if end.is_none_or(|end| end > data_len) {
            let reason = format!(
                "bytes {} + {} lie outside the data section of {data_len} bytes; the file is truncated or corrupt",
                tensor.offset, tensor.num_bytes
            );
            return Err(GgufError::Tensor { name: tensor.name.clone(), reason });
        }
        if !tensor.offset.is_multiple_of(alignment) {
            let reason = format!("offset {} is not a multiple of the alignment {alignment}", tensor.offset);
            return Err(GgufError::Tensor { name: tensor.name.clone(), reason });
        }
    }
    for pair in tensors.windows(2) {
        if pair[0].offset + pair[0].num_bytes > pair[1].offset {
            return Err(GgufError::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() });
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    match tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(GgufError::DuplicateTensor(pair[0].name.clone())),
        None => Ok(()),
    }
}
