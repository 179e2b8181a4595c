//! Reads a progress file by line numbers, whole lines only. Never writes, and never holds more than one batch.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
};

use uuid::Uuid;

/// Lines of a batch: some seconds of quick steps, and a second's work for Postgres at most.
const BATCH_LINES: usize = 2_000;
/// Bytes of a batch: half of what the server takes.
const BATCH_BYTES: usize = 512 << 10;

/// A position in a progress file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    line: u64,
    offset: u64,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, line: 0, offset: 0 }
    }

    /// Number of the line that comes next.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What tells this file from every other that is called so: a hash of its first line, which names a process and a
    /// moment. None while it has no line.
    pub(super) fn id(&mut self) -> io::Result<Option<String>> {
        let Some(file) = self.open()? else { return Ok(None) };
        if file.metadata()?.len() < self.offset {
            // It was replaced by a shorter one.
            (self.line, self.offset) = (0, 0);
        }
        let mut first = Vec::new();
        BufReader::new(file).read_until(b'\n', &mut first)?;
        Ok(first.ends_with(b"\n").then(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, &first).to_string()))
    }

    /// Goes to a line of a file that may be another one than before.
    pub(super) fn restart(&mut self, line: u64) -> io::Result<()> {
        (self.line, self.offset) = (0, 0);
        self.seek(line)
    }

    /// Goes to a line, or to the end where there are fewer.
    pub(super) fn seek(&mut self, line: u64) -> io::Result<()> {
        if line < self.line {
            (self.line, self.offset) = (0, 0);
        }
        let Some(mut file) = self.open()? else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        while self.line < line {
            let length = reader.skip_until(b'\n')?;
            if length == 0 {
                break;
            }
            self.line += 1;
            self.offset += length as u64;
        }
        Ok(())
    }

    /// The next lines, as many as fit into a batch. A line that is too long for any batch is sent empty, so that the
    /// numbers stay.
    pub(super) fn lines(&self) -> io::Result<Vec<String>> {
        let Some(mut file) = self.open()? else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < BATCH_LINES {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                break;
            }
            if line.len() > BATCH_BYTES {
                line.clear();
            }
            bytes += line.len();
            if bytes > BATCH_BYTES {
                break;
            }
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(lines)
    }

    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(tempfile::TempDir);

    impl Written {
        fn new(text: impl AsRef<[u8]>) -> Self {
            let written = Self(tempfile::tempdir().unwrap());
            written.replace(text);
            written
        }

        fn replace(&self, text: impl AsRef<[u8]>) {
            std::fs::write(self.path(), text).unwrap();
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("progress.jsonl")
        }

        fn tail(&self) -> Tail {
            Tail::new(self.path())
        }
    }

    #[test]
    fn whole_lines_are_read_from_any_line_on_and_a_torn_one_waits() {
        let written = Written::new("a\nb\n\nd\ne");
        let mut tail = written.tail();
        assert_eq!(tail.lines().unwrap(), ["a", "b", "", "d"]);
        tail.seek(3).unwrap();
        assert_eq!((tail.line(), tail.lines().unwrap()), (3, vec!["d".to_owned()]));
        tail.seek(1).unwrap();
        assert_eq!(tail.lines().unwrap(), ["b", "", "d"]);
    }

    #[test]
    fn long_files_come_in_batches_and_monstrous_lines_keep_their_number() {
        let many = Written::new("x\n".repeat(BATCH_LINES + 5));
        let mut tail = many.tail();
        assert_eq!(tail.lines().unwrap().len(), BATCH_LINES);
        tail.seek(BATCH_LINES as u64).unwrap();
        assert_eq!(tail.lines().unwrap().len(), 5);
        let monster = Written::new(format!("a\n{}\nc\n", "x".repeat(BATCH_BYTES + 1)));
        assert_eq!(monster.tail().lines().unwrap(), ["a", "", "c"]);
        let (half, rest) = ("y".repeat(BATCH_BYTES / 2 + 1), "z");
        assert_eq!(Written::new(format!("{half}\n{half}\n{rest}\n")).tail().lines().unwrap(), [half]);
        assert_eq!(Written::new([0xff, b'\n']).tail().lines().unwrap(), ["\u{fffd}"]);
    }

    #[test]
    fn a_file_is_known_by_its_first_line_and_a_new_one_is_read_from_its_beginning() {
        let written = Written::new("");
        let mut tail = written.tail();
        assert_eq!(tail.id().unwrap(), None);
        written.replace("first\nsecond\n");
        let id = tail.id().unwrap();
        tail.seek(2).unwrap();
        written.replace("first\nsecond\nthird\n");
        assert_eq!((tail.id().unwrap(), tail.line()), (id.clone(), 2));
        written.replace("other\n");
        assert!(tail.id().unwrap() != id);
        assert_eq!(tail.line(), 0);
        assert_eq!(Tail::new("/nowhere/progress.jsonl".into()).id().unwrap(), None);
    }
}
