//! Sees through gzip, zstd, bzip2 and xz, which are recognised by their first bytes, whatever the file is called.
//!
//! Owns what each tool does with more than one stream in a file and with what lies behind the last. Memory is bounded: a
//! file that asks for more than [`MAX_WINDOW_LOG`] allows is refused as unsupported.

use std::io::{self, BufRead, BufReader, Read};

use super::peek::Peek;

/// Bytes that tell the format.
const HEAD_BYTES: usize = 10;
/// First bytes of a gzip member (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// First bytes of a bzip2 stream, but for the digit of its level behind them.
const BZIP2: &[u8] = b"BZh";
/// What follows the digit: a block, or the end of a stream without one (the digits of pi, and of its square root).
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];
/// First bytes of an xz stream.
const XZ: &[u8] = b"\xfd7zXZ\0";
/// First bytes of a zstd frame (RFC 8878).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Second to fourth byte of a frame that zstd skips, which parallel compressors write first; the first is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// Largest window that a file may ask memory for: 2^27 bytes, what the zstd tool itself accepts and twice what `xz -9`
/// writes.
const MAX_WINDOW_LOG: u32 = 27;
/// The same for xz, in KiB, with room for the decoder's tables.
const MAX_XZ_KIB: u32 = (1 << (MAX_WINDOW_LOG - 10)) + 1024;
/// What zstd says where a window is larger than allowed.
const ZSTD_WINDOW_ERROR: &str = "too much memory";

/// The plain bytes of `raw`, the content of `file`.
pub(super) fn plain<'a>(raw: impl Read + 'a, file: &'a str) -> io::Result<Box<dyn Read + 'a>> {
    let mut whole = Peek::new(BufReader::new(raw));
    let head = whole.peek(HEAD_BYTES);
    let is_zstd = head.starts_with(ZSTD);
    let is_skippable = head.first().is_some_and(|byte| byte >> 4 == 5) && head[1..].starts_with(ZSTD_SKIPPABLE);
    if head.starts_with(GZIP) {
        return Ok(Box::new(Streams { stream: Some(Stream::gzip(whole)), file }));
    }
    if is_bzip2(head) {
        return Ok(Box::new(Streams { stream: Some(Stream::bzip2(whole)), file }));
    }
    if head.starts_with(XZ) {
        let decoder = lzma_rust2::XzReader::new_mem_limit(whole, true, MAX_XZ_KIB);
        return Ok(Box::new(Explained { decoder, explain: explain_xz }));
    }
    if is_zstd || is_skippable {
        let mut decoder = zstd::Decoder::with_buffer(whole)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        return Ok(Box::new(Explained { decoder, explain: explain_zstd }));
    }
    Ok(Box::new(whole))
}

/// Whether a bzip2 stream begins here, which `BZh` alone, a word, does not say.
fn is_bzip2(head: &[u8]) -> bool {
    let level_and_block = head.strip_prefix(BZIP2).and_then(<[u8]>::split_first);
    level_and_block.is_some_and(|(level, block)| {
        matches!(level, b'1'..=b'9') && BZIP2_BLOCKS.iter().any(|begin| block.starts_with(begin))
    })
}

/// One stream of a format that allows several in a file.
enum Stream<R> {
    Gzip(Box<flate2::bufread::GzDecoder<R>>),
    Bzip2(Box<bzip2::bufread::BzDecoder<R>>),
}

impl<R: BufRead> Stream<R> {
    fn gzip(raw: R) -> Self {
        Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(raw)))
    }

    fn bzip2(raw: R) -> Self {
        Self::Bzip2(Box::new(bzip2::bufread::BzDecoder::new(raw)))
    }
}

/// Every stream of a file, one after another. Zeros between and behind them are padding, as tapes have it; what else lies
/// behind the last is passed over with a warning, as gzip and bzip2 do.
struct Streams<'a, R> {
    stream: Option<Stream<Peek<R>>>,
    file: &'a str,
}

impl<R: BufRead> Streams<'_, R> {
    /// Goes on to the next stream, where there is one.
    fn advance(&mut self) -> io::Result<()> {
        let (mut raw, is_gzip) = match self.stream.take() {
            Some(Stream::Gzip(decoder)) => (decoder.into_inner(), true),
            Some(Stream::Bzip2(decoder)) => (decoder.into_inner(), false),
            None => return Ok(()),
        };
        skip_zeros(&mut raw)?;
        let head = raw.peek(HEAD_BYTES);
        if head.starts_with(if is_gzip { GZIP } else { BZIP2 }) {
            self.stream = Some(if is_gzip { Stream::gzip(raw) } else { Stream::bzip2(raw) });
        } else if !head.is_empty() {
            tracing::warn!(file = self.file, "what lies behind the end of the compressed data was passed over");
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Streams<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.stream {
                Some(Stream::Gzip(decoder)) => decoder.read(out)?,
                Some(Stream::Bzip2(decoder)) => decoder.read(out)?,
                None => return Ok(0),
            };
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            self.advance()?;
        }
    }
}

fn skip_zeros(raw: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = raw.fill_buf()?;
        let (zeros, length) = (buffer.iter().take_while(|&&byte| byte == 0).count(), buffer.len());
        raw.consume(zeros);
        if zeros < length || length == 0 {
            return Ok(());
        }
    }
}

/// A decoder whose errors are told in words that help.
struct Explained<R> {
    decoder: R,
    explain: fn(io::Error) -> io::Error,
}

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(out).map_err(self.explain)
    }
}

fn explain_zstd(error: io::Error) -> io::Error {
    if !error.to_string().contains(ZSTD_WINDOW_ERROR) {
        return error;
    }
    unsupported(
        "it is compressed with a zstd window larger than 128 MiB; unpack it with zstd -d --long=31 --memory=2048MB and compress it \
         again with --long=27 at most",
    )
}

fn explain_xz(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::OutOfMemory {
        return error;
    }
    unsupported("it is compressed with an xz dictionary larger than 128 MiB; compress it again with xz -9 at most")
}

fn unsupported(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

#[cfg(test)]
mod tests;
