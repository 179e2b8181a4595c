//! Rust text with comments and the insides of strings blanked, line for line, so that rules see code only.
//!
//! Owns just enough of the lexical grammar for that. Never parses.

/// The code of one file.
#[derive(Default)]
pub struct Code {
    text: String,
}

impl Code {
    /// Blanks comments, strings and characters; line ends stay where they are.
    pub fn of(source: &str) -> Self {
        let mut text = String::with_capacity(source.len());
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let taken = comment(rest).or_else(|| string(rest)).or_else(|| character(rest));
            match taken {
                Some(length) => text.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
                None => {
                    // A whole word at once, so that the `r` that ends a name does not begin a raw string.
                    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    text.push_str(&rest[..word.max(first.len_utf8())]);
                }
            }
            rest = &rest[taken.unwrap_or_else(|| {
                let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                word.max(first.len_utf8())
            })..];
        }
        Self { text }
    }

    /// Lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the code holds the text.
    pub fn contains(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Lines that hold the word, not as a part of a longer one.
    pub fn lines_with_word<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.lines().filter(move |(_, line)| has_word(line, word))
    }
}

/// Whether a line holds a word, not as a part of a longer one.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_part)
            && !line[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        let step = if here.starts_with(b"/*") || here.starts_with(b"*/") { 2 } else { 1 };
        depth = if here.starts_with(b"/*") { depth + 1 } else { depth - usize::from(here.starts_with(b"*/")) };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

fn string(rest: &str) -> Option<usize> {
    let plain = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - plain.len();
    if let Some(raw) = plain.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    let body = plain.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            '"' if !is_escaped => return Some(prefix + 1 + at + 1),
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    Some(rest.len())
}

/// A character, but not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let mut chars = body.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (after, _) = chars.nth(1)?;
        return body[after - 1..].find('\'').map(|at| 1 + after - 1 + at + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(1 + at + 1)
}
