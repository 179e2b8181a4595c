//! From the bytes of a file to text: seen through its compression, told from what is none, decoded.

use std::io::{self, BufRead, BufReader, Read};

use bedplate_crds::dataset::{Source, SourceFormat};

pub(super) use super::kind::HEAD_BYTES;
use super::{
    decompress,
    encoding::{Decoder, Wide},
    kind::{Kind, is_html_meant},
    peek::Peek,
    read::BUFFER,
};

/// What a file holds.
pub(super) enum Content<'a> {
    /// Text, in UTF-8 but for what was wrong before.
    Text(Box<dyn BufRead + 'a>),
    /// Something else.
    Foreign(Kind),
}

/// The content of the file at `path` of `source`.
///
/// # Errors
/// Of `raw` and of the decompressor; those of later bytes come while reading.
pub(super) fn open<'a>(raw: impl Read + 'a, path: &'a str, source: &Source) -> io::Result<Content<'a>> {
    let plain = BufReader::with_capacity(BUFFER, decompress::plain(raw, path)?);
    let mut plain = Peek::new(plain);
    let head = plain.peek(HEAD_BYTES);
    if let Some(kind) = Kind::of(head) {
        return Ok(Content::Foreign(kind));
    }
    match Wide::of(head) {
        None => Ok(text(plain, path, source)),
        Some(encoding) => {
            tracing::info!(file = path, ?encoding, "decoded");
            Ok(text(Peek::new(BufReader::new(Decoder::new(plain, encoding))), path, source))
        }
    }
}

/// Text in UTF-8, unless it turns out to be something else.
fn text<'a>(mut plain: Peek<impl BufRead + 'a>, path: &str, source: &Source) -> Content<'a> {
    let is_meant =
        |kind: Kind| kind == Kind::Html && source.format == SourceFormat::Text && is_html_meant(path, &source.include);
    match Kind::of_text(plain.peek(HEAD_BYTES)) {
        Some(kind) if !is_meant(kind) => Content::Foreign(kind),
        _ => Content::Text(Box::new(plain)),
    }
}
