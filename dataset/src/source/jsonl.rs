//! Lines of JSON objects: takes one text field of each and skips over the rest without building it.

mod numbers;

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead},
};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::encoding::{STAND_IN, UTF8_MARK};

/// One line, or what became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The buffer holds it, without its end.
    Whole,
    /// It is longer than the limit; it was skipped over.
    TooLong {
        /// Bytes of it.
        bytes: u64,
    },
    /// There is none.
    End,
}

/// Reads the next line into `line`, which never grows beyond `limit` and one buffer of the reader.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    line.clear();
    let mut bytes = 0_u64;
    let mut is_any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        is_any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        bytes += part.len() as u64;
        if bytes <= limit as u64 {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match (is_any, bytes > limit as u64) {
        (false, _) => Line::End,
        (true, true) => Line::TooLong { bytes },
        (true, false) => Line::Whole,
    })
}

/// Why a line holds no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The text in `field` of the object in `line`; empty where it is null or a missing number. A byte order mark in front is
/// passed over: whoever glues files together with `cat` has one there. What is no UTF-8 stays as it is, but that a lone
/// surrogate becomes [`STAND_IN`].
pub(super) fn text(line: &[u8], field: &str) -> Result<Vec<u8>, Broken> {
    let mut line = Cow::Borrowed(without_marks(line));
    let mut parsed = parse(&line, field);
    if parsed.is_err()
        && let Some(mended) = numbers::as_nulls(&line)
    {
        line = Cow::Owned(mended);
        parsed = parse(&line, field);
    }
    match parsed {
        Ok(Some(text)) => Ok(with_stand_ins(text)),
        Ok(None) => Err(Broken {
            reason: format!("no field {field}; it has {}", keys(&line)),
            remedy: "set textField to the one that holds the text",
        }),
        Err(error) if error.is_data() => {
            Err(Broken { reason: place(&error), remedy: "set textField to a field that holds a string" })
        }
        Err(error) => Err(Broken {
            reason: format!("not a JSON object ({})", place(&error)),
            remedy: "mend or remove the line, or set onError: skip",
        }),
    }
}

fn parse(line: &[u8], field: &str) -> serde_json::Result<Option<Vec<u8>>> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let text = Field(field).deserialize(&mut deserializer)?;
    deserializer.end().map(|()| text)
}

/// The line without the marks in front of it.
pub(super) fn without_marks(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(UTF8_MARK) {
        line = rest;
    }
    line
}

/// serde_json sees one line at a time, and calls each the first.
fn place(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

/// serde_json writes a lone surrogate in three bytes, as UTF-8 would if it could.
fn with_stand_ins(text: Vec<u8>) -> Vec<u8> {
    if std::str::from_utf8(&text).is_ok() {
        return text;
    }
    let mut mended = Vec::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some((&first, after)) = rest.split_first() {
        let is_surrogate = matches!(rest, [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..]);
        mended.push(if is_surrogate { STAND_IN } else { first });
        rest = if is_surrogate { &rest[3..] } else { after };
    }
    mended
}

fn keys(line: &[u8]) -> String {
    let object: std::collections::BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).unwrap_or_default();
    if object.is_empty() {
        return "no fields that can be named".to_owned();
    }
    object.into_keys().collect::<Vec<_>>().join(", ")
}

struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an object with the string {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut text = None;
        while let Some(Bytes(key)) = map.next_key()? {
            if key == self.0.as_bytes() {
                text = Some(map.next_value::<Option<Bytes>>()?.map(|Bytes(text)| text).unwrap_or_default());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// A JSON string as it is, whether or not its bytes are UTF-8.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &[u8]) -> Vec<u8> {
        text(line, "text").unwrap_or_else(|broken| panic!("{broken:?}"))
    }

    #[test]
    fn takes_the_field_and_nothing_else() {
        assert_eq!(taken(br#"{"id":[1,{"text":"no"}],"text":"a\u00e9\n","z":1}"#), "aé\n".as_bytes());
        assert_eq!(taken(br#"{"text":null}"#), b"");
        let refusals = [
            (&br#"{"body":"a","id":1}"#[..], "it has body, id", "textField"),
            (br#"{"text":5}"#, "a string", "textField"),
            (br#"{"text":["a"]}"#, "a string", "textField"),
            (br#"{"text":"a""#, "column 11", "mend or remove"),
            (br#"{"text":"a"} x"#, "column 14", "mend or remove"),
            (br#"["text"]"#, "an object", "textField"),
            (br#"{"text":NaN} x"#, "column", "mend or remove"),
            (br#"{"body":NaN,"id":1}"#, "it has body, id", "textField"),
            (br#"{"text":Nan}"#, "column 9", "mend or remove"),
        ];
        for (line, reason, remedy) in refusals {
            let error = text(line, "text").unwrap_err();
            assert!(error.reason.contains(reason) && error.remedy.contains(remedy), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_left_to_the_pipeline_wherever_it_is() {
        assert_eq!(taken(b"{\"text\":\"caf\xe9 \\n\"}"), b"caf\xe9 \n");
        assert_eq!(
            taken(br#"{"text":"a\ud83d b\ude00\ud83d\ude00\udc00"}"#),
            [&b"a\xff b\xff"[..], "😀".as_bytes(), b"\xff"].concat()
        );
        assert_eq!(taken(b"{\"k\xff\":\"\xff\\ud800\",\"text\":\"a\",\"\\ud800\":\"\\udc00\"}"), b"a");
        assert_eq!(taken("\u{feff}\u{feff}{\"text\":\"\u{feff}a\"}".as_bytes()), "\u{feff}a".as_bytes());
    }

    #[test]
    fn numbers_that_are_none_count_as_null_where_the_text_should_be_and_not_elsewhere() {
        assert_eq!(
            taken(br#"{"a":NaN,"b":[-Infinity, Infinity],"text":"NaN, \"Infinity","c":{"d": NaN }}"#),
            b"NaN, \"Infinity"
        );
        for value in ["NaN", "Infinity", "-Infinity", " NaN "] {
            assert_eq!(taken(format!("{{\"id\":1,\"text\":{value}}}").as_bytes()), b"", "{value}");
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_passed_over_and_the_next_one_read() {
        let bytes = [b"ab\n".to_vec(), vec![b'x'; 50], b"\n\ncd".to_vec()].concat();
        let mut reader = io::BufReader::with_capacity(7, &bytes[..]);
        let (mut line, mut seen) = (Vec::new(), Vec::new());
        loop {
            match next_line(&mut reader, &mut line, 10).unwrap() {
                Line::Whole => seen.push(String::from_utf8(line.clone()).unwrap()),
                Line::TooLong { bytes } => seen.push(format!("<{bytes}>")),
                Line::End => break,
            }
            assert!(line.len() <= 10);
        }
        assert_eq!(seen, ["ab", "<50>", "", "cd"]);
    }
}
