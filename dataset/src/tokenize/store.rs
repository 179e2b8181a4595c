//! Files of tokenised documents: for each its lot in the hold-out, the bytes of its text and its tokens.

use std::{
    fs::File,
    io::{self, BufReader, Read, Take, Write},
    path::PathBuf,
};

use crate::{
    document::Lot,
    sealed::{self, SealedError, SealedWriter},
};

/// Bytes before the tokens of a document: lot u64, text bytes u32, tokens u32.
const HEADER: usize = 16;

/// Bytes of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Vocabularies of up to 65 536 entries.
    Two,
    /// Larger ones.
    Four,
}

impl Width {
    /// The width that holds every id below `vocab_size`.
    pub fn for_vocabulary(vocab_size: usize) -> Self {
        if vocab_size <= usize::from(u16::MAX) + 1 { Self::Two } else { Self::Four }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// One file.
#[derive(Debug)]
pub struct TokenFile {
    /// Where it is or will be.
    pub path: PathBuf,
    /// How its tokens are written.
    pub width: Width,
}

/// One document.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TokenisedDocument {
    /// Bytes of its text.
    pub text_bytes: u64,
    /// Its tokens, end of text included.
    pub tokens: Vec<u32>,
}

impl TokenFile {
    /// Bytes of its tokens, if it is there and whole.
    pub fn check(&self) -> Result<u64, SealedError> {
        Ok(sealed::open(&self.path)?.get_ref().limit())
    }

    /// Begins it anew.
    pub fn create(&self) -> Result<Writer, SealedError> {
        Ok(Writer { file: SealedWriter::create(self.path.clone())?, width: self.width, buffer: Vec::new() })
    }

    /// Its documents, in order, after it was checked.
    pub fn documents(&self) -> Result<Reader, SealedError> {
        let reader = sealed::open(&self.path)?;
        Ok(Reader { path: self.path.clone(), width: self.width, reader, buffer: Vec::new() })
    }
}

/// Writes documents.
pub struct Writer {
    file: SealedWriter,
    width: Width,
    buffer: Vec<u8>,
}

impl Writer {
    /// Adds a document; returns the bytes it takes.
    pub fn push(&mut self, lot: Lot, text_bytes: u64, tokens: &[u32]) -> Result<u64, SealedError> {
        let short = |length: usize| u32::try_from(length).expect("documents are bounded far below 4 GiB");
        self.buffer.clear();
        self.buffer.extend_from_slice(&lot.0.to_le_bytes());
        self.buffer.extend_from_slice(&short(text_bytes as usize).to_le_bytes());
        self.buffer.extend_from_slice(&short(tokens.len()).to_le_bytes());
        for token in tokens {
            self.buffer.extend_from_slice(&token.to_le_bytes()[..self.width.bytes()]);
        }
        self.file.write_all(&self.buffer).map_err(|source| self.file.error(source))?;
        Ok(self.buffer.len() as u64)
    }

    /// Gives the file its name.
    pub fn seal(self) -> Result<(), SealedError> {
        self.file.seal()
    }
}

/// Reads documents.
pub struct Reader {
    path: PathBuf,
    width: Width,
    reader: BufReader<Take<File>>,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads the next document into `document`; its lot, or none at the end.
    pub fn next_into(&mut self, document: &mut TokenisedDocument) -> Result<Option<Lot>, SealedError> {
        self.read_into(document).map_err(|_| SealedError::Damaged { path: self.path.clone() })
    }

    fn read_into(&mut self, document: &mut TokenisedDocument) -> io::Result<Option<Lot>> {
        let mut header = [0; HEADER];
        if self.reader.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut header[1..])?;
        let [lot, lengths] = [&header[..8], &header[8..]]
            .map(|half| u64::from_le_bytes(*half.first_chunk().expect("halves have 8 bytes")));
        let (text_bytes, count) = (lengths & u64::from(u32::MAX), (lengths >> 32) as usize);
        self.buffer.resize(count * self.width.bytes(), 0);
        self.reader.read_exact(&mut self.buffer)?;
        document.text_bytes = text_bytes;
        document.tokens.clear();
        match self.width {
            Width::Two => {
                let tokens = self.buffer.as_chunks::<2>().0.iter();
                document.tokens.extend(tokens.map(|token| u32::from(u16::from_le_bytes(*token))));
            }
            Width::Four => {
                let tokens = self.buffer.as_chunks::<4>().0.iter();
                document.tokens.extend(tokens.map(|token| u32::from_le_bytes(*token)));
            }
        }
        Ok(Some(Lot(lot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_in_either_width() {
        let folder = tempfile::tempdir().unwrap();
        for (vocab_size, largest) in [(65_536, 65_535), (65_537, 65_536)] {
            let path = folder.path().join(format!("{vocab_size}.tokens"));
            let file = TokenFile { path, width: Width::for_vocabulary(vocab_size) };
            let mut writer = file.create().unwrap();
            let bytes =
                writer.push(Lot(u64::MAX), 70_000, &[0, largest]).unwrap() + writer.push(Lot(7), 0, &[1]).unwrap();
            writer.seal().unwrap();
            assert_eq!(file.check().unwrap(), bytes);
            let (mut reader, mut document) = (file.documents().unwrap(), TokenisedDocument::default());
            assert_eq!(reader.next_into(&mut document).unwrap(), Some(Lot(u64::MAX)));
            assert_eq!(document, TokenisedDocument { text_bytes: 70_000, tokens: vec![0, largest] });
            assert_eq!(reader.next_into(&mut document).unwrap(), Some(Lot(7)));
            assert_eq!(document, TokenisedDocument { text_bytes: 0, tokens: vec![1] });
            assert_eq!(reader.next_into(&mut document).unwrap(), None);
        }
    }
}
