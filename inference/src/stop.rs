//! Cuts an answer where a stop string begins, however the string is spread over pieces of text.
//!
//! Pure. Never lets out text that might still turn out to be the beginning of a stop string.

#[cfg(test)]
mod tests;

/// Looks for stop strings in text that arrives in pieces.
#[derive(Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
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
        Self { stops, keeps_stop, held: String::new() }
    }

    /// Takes the next piece. The stop string that is complete first wins, so the cut does not depend on the pieces.
    pub fn push(&mut self, piece: &str) -> Matched {
        self.held.push_str(piece);
        let found = |stop: &String| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start));
        if let Some((end, start)) = self.stops.iter().filter_map(found).min() {
            let text = self.held[..if self.keeps_stop { end } else { start }].to_owned();
            self.held.clear();
            return Matched { text, stopped: true };
        }
        let certain = self.certain_len();
        let text = self.held[..certain].to_owned();
        self.held.drain(..certain);
        Matched { text, stopped: false }
    }

    /// The text that was held back, once it is known that nothing follows.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes before the first place where a stop string may have begun.
    fn certain_len(&self) -> usize {
        let mut places = self.held.char_indices().map(|(place, _)| place);
        let begins = |place: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*place..]));
        places.find(begins).unwrap_or(self.held.len())
    }
}
