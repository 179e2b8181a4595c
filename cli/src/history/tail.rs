//! Reads a progress file on from an offset, whole lines only. Never writes, and never holds more than one batch.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::Path,
};

use bedplate_crds::job::progress::ProgressEvent;

/// Bytes of a batch: some thousands of steps, one transaction of some 50 ms. A line longer than that is skipped.
const BATCH_BYTES: u64 = 512 << 10;

/// Some events in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub events: Vec<ProgressEvent>,
    /// Offset after the last of them.
    pub end: u64,
}

/// The next batch of `path` from `from` on, and at most to `limit`; none where there is no whole line.
///
/// A line that is no event (a crash tore it, or a later release wrote it) is skipped.
pub(super) fn read(path: &Path, from: u64, limit: Option<u64>) -> std::io::Result<Option<Batch>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let wanted = limit.map_or(BATCH_BYTES, |limit| limit.saturating_sub(from).min(BATCH_BYTES));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        // Nothing will ever end this line: it is too long, or the next attempt's lines begin after it.
        None if read > 0 && (read == BATCH_BYTES || limit == Some(from + read)) => bytes.len(),
        None => return Ok(None),
    };
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let events = lines.filter_map(|line| {
        serde_json::from_slice(line)
            .inspect_err(|error| tracing::debug!(%error, file = %path.display(), "skipped a progress line"))
            .ok()
    });
    Ok(Some(Batch { events: events.collect(), end: from + whole as u64 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = r#"{"timeSeconds":1.0,"event":"ready","url":"http://x"}"#;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn check(text: &str, from: u64, limit: Option<u64>, expect: Option<(usize, u64)>) {
        let batch = read(file(text).path(), from, limit).unwrap();
        assert_eq!(batch.map(|batch| (batch.events.len(), batch.end)), expect, "{text:?}");
    }

    #[test]
    fn whole_lines_are_read_and_a_line_in_the_making_waits() {
        let line = READY.len() as u64 + 1;
        check(&format!("{READY}\n{READY}\n"), 0, None, Some((2, 2 * line)));
        check(&format!("{READY}\n{}", &READY[..20]), 0, None, Some((1, line)));
        check(&format!("{READY}\n{}", &READY[..20]), line, None, None);
        check("", 0, None, None);
        check(READY, 1_000, None, None);
    }

    #[test]
    fn torn_and_foreign_lines_spoil_only_themselves() {
        let text = format!("{}\n{READY}\n{{\"timeSeconds\":2,\"event\":\"later\"}}\n\n", &READY[..20]);
        check(&text, 0, None, Some((1, text.len() as u64)));
    }

    #[test]
    fn an_attempt_ends_where_the_next_one_begins() {
        let line = READY.len() as u64 + 1;
        let torn = format!("{READY}\n{}", &READY[..20]);
        let text = format!("{torn}\n{READY}\n");
        check(&text, 0, Some(torn.len() as u64), Some((1, line)));
        check(&text, line, Some(torn.len() as u64), Some((0, torn.len() as u64)));
        check(&text, torn.len() as u64, Some(torn.len() as u64), None);
        check(&text, torn.len() as u64, None, Some((1, text.len() as u64)));
    }

    #[test]
    fn a_file_that_is_not_there_yet_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("progress.jsonl"), 0, None).unwrap().is_none());
    }
}
