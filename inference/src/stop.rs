//! Cuts an answer where a stop string begins, however the string is spread over pieces of text.
//!
//! Pure. Never lets out text that might still turn out to be the beginning of a stop string. Looks at each byte once,
//! however long the strings are.

#[cfg(test)]
mod tests;

/// Looks for stop strings in text that arrives in pieces.
#[derive(Debug)]
pub struct StopMatcher {
    stops: Vec<Stop>,
    keeps_stop: bool,
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub struct Matched {
    /// Text that belongs to the answer for certain.
    pub text: String,
    /// Whether a stop string was completed; the answer ends with `text`.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher for `stops`, none of them empty. With `keeps_stop`, the string that ends the answer is its last part.
    pub fn new(stops: Vec<String>, keeps_stop: bool) -> Self {
        Self { stops: stops.into_iter().map(Stop::new).collect(), keeps_stop, held: String::new() }
    }

    /// Takes the next piece. The stop string that is complete first wins, so the cut does not depend on the pieces.
    pub fn push(&mut self, piece: &str) -> Matched {
        let before = self.held.len();
        self.held.push_str(piece);
        for (index, byte) in piece.bytes().enumerate() {
            // Of those that are complete with the same byte, the longest begins first.
            let complete = self.stops.iter_mut().filter_map(|stop| stop.take(byte)).max();
            if let Some(len) = complete {
                let end = before + index + 1;
                self.held.truncate(if self.keeps_stop { end } else { end - len });
                return Matched { text: std::mem::take(&mut self.held), stopped: true };
            }
        }
        let begun = self.stops.iter().map(|stop| stop.begun).max().unwrap_or(0);
        let text = self.held.drain(..self.held.len() - begun).collect();
        Matched { text, stopped: false }
    }

    /// The text that was held back, once it is known that nothing follows.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// A stop string and how much of it the text ends with (Knuth, Morris and Pratt 1977).
#[derive(Debug)]
struct Stop {
    bytes: Vec<u8>,
    /// For each beginning of the string, by its last byte: length of the longest shorter beginning that it ends with.
    borders: Vec<usize>,
    /// Bytes of the string that the text ends with.
    begun: usize,
}

impl Stop {
    fn new(text: String) -> Self {
        let mut stop = Self { borders: vec![0; text.len()], bytes: text.into_bytes(), begun: 0 };
        for index in 1..stop.bytes.len() {
            stop.follow(stop.bytes[index]);
            stop.borders[index] = stop.begun;
        }
        stop.begun = 0;
        stop
    }

    /// Takes the next byte of the text, and gives the string's length where that completes it.
    fn take(&mut self, byte: u8) -> Option<usize> {
        self.follow(byte);
        (self.begun == self.bytes.len()).then_some(self.begun)
    }

    fn follow(&mut self, byte: u8) {
        while self.begun > 0 && self.bytes.get(self.begun) != Some(&byte) {
            self.begun = self.borders[self.begun - 1];
        }
        self.begun += usize::from(self.bytes[self.begun] == byte);
    }
}
