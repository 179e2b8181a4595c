//! What a stage counts, with a few examples for people.

use bedplate_crds::job::manifest::StageCounts;

/// Examples kept for each stage: the first ones in reading order, so that they are the same on every run.
const MAX_EXAMPLES: usize = 5;
/// Examples kept of what was left out, at least one of each kind.
const MAX_KINDS: usize = 12;
/// Characters of text an example quotes.
const QUOTED_CHARS: usize = 80;
/// Characters of a path an example names.
const PATH_CHARS: usize = 100;

/// Counts of one stage.
#[derive(Debug)]
pub(super) struct Tally(StageCounts);

impl Tally {
    pub(super) fn new(stage: &str) -> Self {
        Self(StageCounts { stage: stage.to_owned(), ..StageCounts::default() })
    }

    pub(super) fn counts(&self) -> &StageCounts {
        &self.0
    }

    /// A document went in with `bytes_in` and out with `bytes_out`.
    pub(super) fn kept(&mut self, bytes_in: u64, bytes_out: u64) {
        self.0.documents_in += 1;
        self.0.documents_out += 1;
        self.0.bytes_in += bytes_in;
        self.0.bytes_out += bytes_out;
    }

    /// Something of `bytes` went in that is no document.
    pub(super) fn passed_over(&mut self, bytes: u64) {
        self.0.documents_in += 1;
        self.0.bytes_in += bytes;
    }

    /// A document of `bytes` went in and did not come out.
    pub(super) fn dropped(&mut self, bytes: u64, origin: &str, reason: &str, text: &[u8]) {
        self.0.documents_in += 1;
        self.0.bytes_in += bytes;
        self.example("dropped", origin, reason, text);
    }

    /// `count` things that were left out, the first of them at `origin`.
    pub(super) fn left_out(&mut self, what: &str, count: u64, origin: &str, reason: &str) {
        let counted = self.0.left_out.entry(what.to_owned()).or_default();
        let is_first = *counted == 0;
        *counted += count;
        if self.0.examples.len() < if is_first { MAX_KINDS } else { MAX_EXAMPLES } {
            self.0.examples.push(format!("left out {}, {reason}", shorten(origin)));
        }
    }

    /// Shows what was done to the document at `origin`.
    pub(super) fn example(&mut self, verb: &str, origin: &str, reason: &str, text: &[u8]) {
        if self.0.examples.len() < MAX_EXAMPLES {
            let quoted = quote(text);
            let quoted = if quoted.is_empty() { String::new() } else { format!(": {quoted}") };
            self.0.examples.push(format!("{verb} {}, {reason}{quoted}", shorten(origin)));
        }
    }
}

/// The beginning of `text` on one line.
fn quote(text: &[u8]) -> String {
    // A character has at most 4 bytes; a cut one at the end falls beyond the characters that are taken.
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * (QUOTED_CHARS + 1))]);
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// The end of a long path says more than its beginning.
fn shorten(path: &str) -> String {
    let chars = path.chars().count();
    if chars <= PATH_CHARS {
        return path.to_owned();
    }
    format!("…{}", path.chars().skip(chars - PATH_CHARS).collect::<String>())
}
