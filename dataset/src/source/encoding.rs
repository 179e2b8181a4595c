//! Text in another form than UTF-8 that tells itself: byte order marks, UTF-16 and UTF-32.
//!
//! Owns the recognition and the decoding. What is no character becomes [`STAND_IN`], a byte that is no UTF-8, so that
//! `utf8Repair` mends it and a pipeline without it refuses it, as in any other file.

use std::io::{self, BufRead, Read};

/// A byte that no UTF-8 has.
pub(super) const STAND_IN: u8 = 0xff;
/// The mark in UTF-8.
pub(super) const UTF8_MARK: &[u8] = "\u{feff}".as_bytes();
/// Share of ASCII characters, one in so many, that a file without a mark must have to be told by its NULs: spaces and line
/// ends reach it in every script that has them.
const ASCII_SHARE: usize = 20;
/// Bytes decoded at a time.
const CHUNK: usize = 16 << 10;

/// An encoding whose units are wider than a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wide {
    Utf16Le,
    Utf16Be,
    Utf32Le,
    Utf32Be,
}

/// The marks; UTF-32's first, for UTF-16's is its beginning.
const MARKS: [(&[u8], Wide); 4] = [
    (b"\xff\xfe\0\0", Wide::Utf32Le),
    (b"\0\0\xfe\xff", Wide::Utf32Be),
    (b"\xff\xfe", Wide::Utf16Le),
    (b"\xfe\xff", Wide::Utf16Be),
];

impl Wide {
    /// The encoding of a file that begins with `head`, by its mark or by where its NULs lie; none for UTF-8 and binary data.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let marked = MARKS.iter().find(|(mark, _)| head.starts_with(mark));
        let is_likely = |encoding: &Self| encoding.is_likely(head);
        marked
            .map(|(_, encoding)| *encoding)
            .or_else(|| MARKS.map(|(_, encoding)| encoding).into_iter().find(is_likely))
    }

    /// Whether `head`, which has no mark, reads as text in this encoding: most NULs are the upper halves of ASCII, and none
    /// of the characters is a control or a mistake.
    fn is_likely(self, head: &[u8]) -> bool {
        if !head.contains(&0) {
            return false;
        }
        let mut text = Vec::new();
        self.decode(head, false, &mut text);
        let Ok(text) = std::str::from_utf8(&text) else { return false };
        let is_text = |char: char| !char.is_control() || matches!(char, '\t' | '\n' | '\r' | '\u{c}');
        let (all, ascii) = (text.chars().count(), text.chars().filter(char::is_ascii).count());
        // In the other byte order a line's end is U+0A00 and a space U+2000, so that NULs alone do not tell them apart.
        let nuls = head.iter().filter(|&&byte| byte == 0).count();
        let are_nuls_ascii = self.unit() == 4 || ascii * 2 > nuls;
        all > 1 && text.chars().all(is_text) && ascii * ASCII_SHARE >= all && are_nuls_ascii
    }

    /// Bytes of a unit.
    fn unit(self) -> usize {
        match self {
            Self::Utf16Le | Self::Utf16Be => 2,
            Self::Utf32Le | Self::Utf32Be => 4,
        }
    }

    /// The number at the beginning of `bytes`; none where they are too few.
    fn number(self, bytes: &[u8]) -> Option<u32> {
        Some(match self {
            Self::Utf16Le => u16::from_le_bytes(*bytes.first_chunk()?).into(),
            Self::Utf16Be => u16::from_be_bytes(*bytes.first_chunk()?).into(),
            Self::Utf32Le => u32::from_le_bytes(*bytes.first_chunk()?),
            Self::Utf32Be => u32::from_be_bytes(*bytes.first_chunk()?),
        })
    }

    /// Appends what `bytes` hold to `text`; tells how many of them were used. Fewer where a character may go on behind them
    /// and it is not the end.
    fn decode(self, bytes: &[u8], is_end: bool, text: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while let Some((number, width)) = self.character(&bytes[at..], is_end) {
            at += width;
            match char::from_u32(number) {
                Some(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                None => text.push(STAND_IN),
            }
        }
        if is_end && at < bytes.len() {
            text.push(STAND_IN);
            at = bytes.len();
        }
        at
    }

    /// The first character's number, a surrogate's own where it stands alone, and its bytes.
    fn character(self, bytes: &[u8], is_end: bool) -> Option<(u32, usize)> {
        let unit = self.unit();
        let first = self.number(bytes)?;
        if unit == 4 || !(0xd800..0xdc00).contains(&first) {
            return Some((first, unit));
        }
        match self.number(&bytes[unit..]) {
            Some(second @ 0xdc00..0xe000) => Some((0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 2 * unit)),
            Some(_) => Some((first, unit)),
            None if is_end => Some((first, unit)),
            None => None,
        }
    }
}

/// Decodes what it reads into UTF-8, the mark included.
pub(super) struct Decoder<R> {
    raw: R,
    encoding: Wide,
    /// Bytes that are not decoded yet.
    left: Vec<u8>,
    text: Vec<u8>,
    /// How much of `text` was handed out.
    taken: usize,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(raw: R, encoding: Wide) -> Self {
        Self { raw, encoding, left: Vec::new(), text: Vec::new(), taken: 0 }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.taken = 0;
        self.text.clear();
        while self.text.is_empty() {
            let count = self.raw.by_ref().take(CHUNK as u64).read_to_end(&mut self.left)?;
            let used = self.encoding.decode(&self.left, count == 0, &mut self.text);
            self.left.drain(..used);
            if count == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.text.len() {
            self.refill()?;
        }
        let count = out.len().min(self.text.len() - self.taken);
        out[..count].copy_from_slice(&self.text[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str, encoding: Wide) -> Vec<u8> {
        let swapped = |bytes: Vec<u8>, is_big: bool| if is_big { bytes.into_iter().rev().collect() } else { bytes };
        let is_big = matches!(encoding, Wide::Utf16Be | Wide::Utf32Be);
        if encoding.unit() == 2 {
            return text.encode_utf16().flat_map(|unit| swapped(unit.to_le_bytes().to_vec(), is_big)).collect();
        }
        text.chars().flat_map(|char| swapped(u32::from(char).to_le_bytes().to_vec(), is_big)).collect()
    }

    fn decode(bytes: &[u8], encoding: Wide, capacity: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let reader = io::BufReader::with_capacity(capacity, bytes);
        Decoder::new(reader, encoding).read_to_end(&mut text).unwrap();
        text
    }

    const ALL: [Wide; 4] = [Wide::Utf16Le, Wide::Utf16Be, Wide::Utf32Le, Wide::Utf32Be];

    #[test]
    fn marks_and_nuls_tell_the_encoding() {
        for encoding in ALL {
            for text in ["hello, world\r\n", "Привет, мир. Как дела?\n", "x = '漢字' + é 🦀\n"] {
                let plain = encode(text, encoding);
                assert_eq!(Wide::of(&plain), Some(encoding), "{text} without a mark");
                assert_eq!(Wide::of(&plain[..plain.len() - 1]), Some(encoding), "{text}, cut by the end of the head");
                assert_eq!(
                    Wide::of(&encode(&format!("\u{feff}{text}"), encoding)),
                    Some(encoding),
                    "{text} with a mark"
                );
            }
        }
        let others: [&[u8]; 6] =
            [b"", b"plain", "漢字".as_bytes(), b"a\0", b"\0\0\0\0\0\0\0\0", b"bin\0ary \x01\0 data\0"];
        for other in others {
            assert_eq!(Wide::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_no_character_becomes_one_byte_that_is_no_text() {
        let lone = [0x61, 0xd83d, 0x62, 0xde00, 0x63_u16].map(u16::to_le_bytes).concat();
        assert_eq!(decode(&lone, Wide::Utf16Le, 3), b"a\xffb\xffc");
        assert_eq!(decode(&[lone.as_slice(), b"\x3d\xd8"].concat(), Wide::Utf16Le, 3), b"a\xffb\xffc\xff");
        assert_eq!(decode(b"a\0b", Wide::Utf16Le, 64), b"a\xff");
        assert_eq!(decode(b"\0\0\0a\0\x11\0\0\0\0\xd8\0", Wide::Utf32Be, 5), b"a\xff\xff");
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in any::<String>(), capacity in 1_usize..9) {
            for encoding in ALL {
                prop_assert_eq!(decode(&encode(&text, encoding), encoding, capacity), text.as_bytes());
            }
        }
    }
}
