//! Lines of JSON objects: takes one text field of each and skips over the rest without building it.

use std::{
    fmt,
    io::{self, BufRead},
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

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

/// The text in `field` of the object in `line`; empty where it is null.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn text(line: &[u8], field: &str) -> Result<String, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let text = Field(field).deserialize(&mut deserializer).and_then(|text| deserializer.end().map(|()| text));
    match text {
        Ok(Some(text)) => Ok(text),
        Ok(None) => {
            Err(format!("no field {field}; it has {}: set textField to the one that holds the text", keys(line)))
        }
        Err(error) if error.is_data() => Err(format!("{error}; set textField to a field that holds a string")),
        Err(error) => Err(format!("not a JSON object ({error}); mend or remove the line")),
    }
}

fn keys(line: &[u8]) -> String {
    let object: std::collections::BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).unwrap_or_default();
    if object.is_empty() {
        return "no fields".to_owned();
    }
    object.into_keys().collect::<Vec<_>>().join(", ")
}

struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an object with the string {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == self.0 {
                text = Some(map.next_value::<Option<String>>()?.unwrap_or_default());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_field_and_nothing_else() {
        assert_eq!(text(br#"{"id":[1,{"text":"no"}],"text":"a\u00e9\n","z":1}"#, "text").unwrap(), "aé\n");
        assert_eq!(text(br#"{"text":null}"#, "text").unwrap(), "");
        let refusals = [
            (&br#"{"body":"a","id":1}"#[..], "it has body, id"),
            (br#"{"text":5}"#, "textField"),
            (br#"{"text":"a""#, "mend or remove"),
            (br#"{"text":"a"} x"#, "mend or remove"),
            (br#"["text"]"#, "an object"),
            (b"{\"text\":\"\xff\"}", "mend or remove"),
        ];
        for (line, expected) in refusals {
            let error = text(line, "text").unwrap_err();
            assert!(error.contains(expected), "{error}");
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
