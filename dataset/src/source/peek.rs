//! A reader whose beginning can be looked at before it is read.

use std::io::{self, BufRead, Read};

/// Reads `inner`, after the bytes that were looked at.
pub(super) struct Peek<R> {
    inner: R,
    head: Vec<u8>,
    /// How much of `head` was read.
    taken: usize,
    /// What ended a look; told to whoever reads that far.
    failure: Option<io::Error>,
}

impl<R: Read> Peek<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, head: Vec::new(), taken: 0, failure: None }
    }

    /// The next `count` bytes, which stay to be read; fewer at the end, and in front of an error.
    pub(super) fn peek(&mut self, count: usize) -> &[u8] {
        self.head.drain(..self.taken);
        self.taken = 0;
        let missing = count.saturating_sub(self.head.len());
        if self.failure.is_none() && missing > 0 {
            self.failure = self.inner.by_ref().take(missing as u64).read_to_end(&mut self.head).err();
        }
        &self.head[..count.min(self.head.len())]
    }
}

impl<R: BufRead> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken < self.head.len() {
            return Ok(&self.head[self.taken..]);
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.inner.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        if self.taken < self.head.len() {
            self.taken += count;
        } else {
            self.inner.consume(count);
        }
    }
}

impl<R: BufRead> Read for Peek<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes, then an error.
    struct Torn(&'static [u8]);

    impl Read for Torn {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { self.0.read(out) }
        }
    }

    #[test]
    fn what_was_looked_at_is_read_all_the_same() {
        let mut peek = Peek::new(io::BufReader::with_capacity(2, &b"abcdefgh"[..]));
        assert_eq!(peek.peek(3), b"abc");
        let mut three = [0; 2];
        peek.read_exact(&mut three).unwrap();
        assert_eq!((three, peek.peek(4)), (*b"ab", &b"cdef"[..]));
        let mut rest = String::new();
        peek.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), peek.peek(1)), ("cdefgh", &b""[..]));
    }

    #[test]
    fn an_error_comes_behind_the_bytes_in_front_of_it() {
        let mut peek = Peek::new(io::BufReader::new(Torn(b"abc")));
        assert_eq!(peek.peek(100), b"abc");
        let mut read = Vec::new();
        assert_eq!(peek.read_to_end(&mut read).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read, b"abc");
    }
}
