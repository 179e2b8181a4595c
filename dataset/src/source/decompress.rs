//! Sees through gzip and zstd, which are recognised by their first bytes, whatever the file is called.

use std::io::{self, Cursor, Read};

/// First bytes of a gzip member (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window a zstd frame may ask memory for: 2^27 bytes, what the zstd tool itself accepts.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// The plain bytes of `raw`.
pub(super) fn plain<'a>(mut raw: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(ZSTD.len());
    raw.by_ref().take(ZSTD.len() as u64).read_to_end(&mut head)?;
    let is_gzip = head.starts_with(&GZIP);
    let is_zstd = head == ZSTD;
    let whole = Cursor::new(head).chain(raw);
    if is_gzip {
        return Ok(Box::new(flate2::read::MultiGzDecoder::new(whole)));
    }
    if is_zstd {
        let mut decoder = zstd::Decoder::new(whole)?;
        decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        plain(bytes)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_compression_gives_the_same_text() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"some text").unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&b"some text"[..], 1).unwrap();
        for bytes in [&b"some text"[..], &gzip, &zstd] {
            assert_eq!(read(bytes).unwrap(), "some text");
        }
        assert_eq!(read(&[gzip.clone(), gzip.clone()].concat()).unwrap(), "some textsome text");
        assert_eq!((read(b"").unwrap(), read(b"ab").unwrap()), (String::new(), "ab".to_owned()));
        assert!(read(&gzip[..gzip.len() - 3]).is_err() && read(&zstd[..zstd.len() - 3]).is_err());
    }
}
