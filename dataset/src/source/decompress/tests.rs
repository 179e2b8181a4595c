//! What each tool writes and accepts; the bytes that no encoder here writes were made with zstd 1.5 and xz 5.4.

use std::io::Write;

use super::*;

fn read(bytes: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    plain(bytes, "a")?.read_to_string(&mut text)?;
    Ok(text)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(text: &str) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).unwrap()
}

fn xz(text: &str) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A frame that zstd skips: its number, the length, and as many bytes.
fn skippable(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&[0x50 + number], ZSTD_SKIPPABLE, &length, content].concat()
}

#[test]
fn every_compression_gives_the_same_text_once_and_twice() {
    assert_eq!(
        (read(b"some text").unwrap(), read(b"").unwrap(), read(b"ab").unwrap().as_str()),
        ("some text".to_owned(), String::new(), "ab")
    );
    for compress in [gzip, bzip2, zstd, xz] {
        let (some, other, none) = (compress("some text"), compress("other text"), compress(""));
        assert_eq!(read(&some).unwrap(), "some text");
        assert_eq!(read(&[some.as_slice(), &none, &other].concat()).unwrap(), "some textother text");
        assert_eq!(read(&none).unwrap(), "");
        for cut in 1..6 {
            assert!(read(&some[..some.len() - cut]).is_err(), "cut by {cut}: {some:?}");
        }
    }
}

#[test]
fn padding_is_silent_and_other_bytes_behind_the_end_are_passed_over() {
    for compress in [gzip, bzip2] {
        let (some, other) = (compress("some text"), compress("other text"));
        let padded = [some.as_slice(), &[0; 20_000]].concat();
        assert_eq!(read(&padded).unwrap(), "some text");
        assert_eq!(read(&[padded.as_slice(), &other].concat()).unwrap(), "some textother text");
        assert_eq!(read(&[some.as_slice(), b"garbage"].concat()).unwrap(), "some text");
        assert_eq!(read(&[padded.as_slice(), b"g"].concat()).unwrap(), "some text");
        assert!(
            read(&[some.as_slice(), &other[..other.len() - 2]].concat()).is_err(),
            "a cut second stream is no garbage"
        );
    }
    assert_eq!(read(&[xz("some text"), vec![0; 8], xz("other")].concat()).unwrap(), "some textother");
    assert!(read(&[xz("some text"), b"garbage".to_vec()].concat()).is_err(), "xz refuses it, too");
}

#[test]
fn zstd_skips_frames_anywhere() {
    let frames =
        [skippable(0, b"size of the next frame"), zstd("some "), skippable(15, b""), zstd("text"), skippable(3, b"x")];
    assert_eq!(read(&frames.concat()).unwrap(), "some text");
    assert_eq!(read(&skippable(7, b"nothing else")).unwrap(), "");
    assert_eq!(read(b"Z*M").unwrap(), "Z*M", "a text may begin almost so");
}

#[test]
fn a_window_beyond_the_limit_is_told_from_damage() {
    // A frame header that asks for 2^28 bytes, then one raw block of one byte.
    let zstd = [ZSTD, &[0x00, (28 - 10) << 3], &[0x09, 0, 0], b"a"].concat();
    // An xz block with a dictionary of 2^28 bytes; only its header matters.
    let xz = [XZ, b"\0\x04\xe6\xd6\xb4\x46", b"\x02\0\x21\x01\x20\0\0\0"].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&xz[12..]);
    let xz = [xz.as_slice(), &crc.sum().to_le_bytes(), &[0; 16]].concat();
    for (bytes, remedy) in [(zstd, "--long=27"), (xz, "xz -9")] {
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("128 MiB") && error.to_string().contains(remedy), "{error}");
    }
    let largest = [ZSTD, &[0x00, (27 - 10) << 3], &[0x09, 0, 0], b"a"].concat();
    assert_eq!(read(&largest).unwrap(), "a");
}

#[test]
fn a_word_that_begins_as_bzip2_does_is_text() {
    for text in ["BZh", "BZh9", "BZh9 is how a file begins", "BZ"] {
        assert_eq!(read(text.as_bytes()).unwrap(), text);
    }
}
