//! A bounds-checked little-endian reader. It never allocates and never reads past the slice.

use super::GgufError;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub(super) fn take(&mut self, what: &'static str, len: u64) -> Result<&'a [u8], GgufError> {
        let available = self.remaining();
        if len > available as u64 {
            return Err(GgufError::Truncated { what, offset: self.offset, needed: len, available });
        }
        let start = self.offset;
        self.offset += len as usize;
        Ok(&self.bytes[start..self.offset])
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(what, N as u64)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(super) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufError> {
        let count = self.u64(what)?;
        if count > limit {
            return Err(GgufError::Count { what, count, limit });
        }
        Ok(count)
    }

    /// A name, which is text.
    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let offset = self.offset + size_of::<u64>();
        std::str::from_utf8(self.sized_bytes(what)?).map_err(|_| GgufError::Utf8 { what, offset })
    }

    /// Bytes after their number.
    pub(super) fn sized_bytes(&mut self, what: &'static str) -> Result<&'a [u8], GgufError> {
        let len = self.u64(what)?;
        self.take(what, len)
    }
}
