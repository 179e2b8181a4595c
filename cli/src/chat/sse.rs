//! Server-sent events: bytes in, the `data` of each event out (WHATWG HTML, "Parsing an event stream").
//!
//! Owns line ends that fall between two reads. Never knows what the data means.

/// Largest event accepted; an OpenAI delta is some hundred bytes, so more means that the peer speaks something else.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// An event outgrew [`MAX_EVENT_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("the server sent an event of more than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

/// Takes bytes as the network cuts them.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    data: Option<String>,
    after_carriage_return: bool,
}

impl SseDecoder {
    /// The data of every event that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            // CR, LF and CRLF all end a line; the LF of a CRLF ends no second one.
            let lf_of_crlf = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            match byte {
                _ if lf_of_crlf => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT_BYTES {
                return Err(EventTooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        if line.is_empty() {
            return self.data.take();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_other_fields_and_joined_data_lines() {
        let mut decoder = SseDecoder::default();
        let events =
            decoder.push(b"\xef\xbb\xbf: ping\r\nevent: x\r\ndata: a\r\ndata:b\r\n\r\ndata: [DONE]\n\n").unwrap();
        assert_eq!(events, ["a\nb", "[DONE]"]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = SseDecoder::default();
        assert!(decoder.push(&vec![b'x'; MAX_EVENT_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cut in 0usize..60) {
            let text = "data: {\"a\":\"é\"}\r\n\r\n: c\n\ndata: 2\r\rdata: 3\n\n".as_bytes();
            let (head, tail) = text.split_at(cut.min(text.len()));
            let mut decoder = SseDecoder::default();
            let mut events = decoder.push(head).unwrap();
            events.extend(decoder.push(tail).unwrap());
            prop_assert_eq!(events, ["{\"a\":\"é\"}", "2", "3"]);
        }
    }
}
