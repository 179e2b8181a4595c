//! The tokens of a Jinja expression.
//!
//! Owns where strings, names and brackets begin and end. Never knows what they mean.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Sign,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// First byte in the expression.
    pub start: usize,
    /// Index of the other bracket of a pair.
    pub partner: Option<usize>,
}

impl Token<'_> {
    /// One more than the last byte in the expression.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Tokens of `source` up to `close` outside of strings and brackets, and where that stands: at the end of `source` where
/// there is none or `close` is empty.
pub(super) fn lex<'a>(source: &'a str, close: &str) -> (Vec<Token<'a>>, usize) {
    let mut tokens: Vec<Token<'a>> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        if open.is_empty() && !close.is_empty() && rest.starts_with(close) {
            return (tokens, at);
        }
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, len) = token(rest, first);
        let mut partner = None;
        match &rest[..len] {
            "(" | "[" | "{" => open.push(tokens.len()),
            ")" | "]" | "}" => {
                partner = open.pop();
                if let Some(other) = partner {
                    tokens[other].partner = Some(tokens.len());
                }
            }
            _ => {}
        }
        tokens.push(Token { kind, text: &rest[..len], start: at, partner });
        at += len;
    }
    (tokens, source.len())
}

fn token(rest: &str, first: char) -> (Kind, usize) {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let word_len = || rest.find(|character| !is_word(character)).unwrap_or(rest.len());
    if first == '"' || first == '\'' {
        return (Kind::Text, string_len(rest, first));
    }
    if first.is_ascii_digit() {
        let whole = word_len();
        let decimals =
            rest[whole..].strip_prefix('.').filter(|part| part.starts_with(|digit: char| digit.is_ascii_digit()));
        let decimals = decimals.map_or(0, |part| 1 + part.find(|character| !is_word(character)).unwrap_or(part.len()));
        return (Kind::Number, whole + decimals);
    }
    if is_word(first) {
        return (Kind::Name, word_len());
    }
    let is_double = ["**", "//", "==", "!=", ">=", "<="].iter().any(|sign| rest.starts_with(sign));
    (Kind::Sign, if is_double { 2 } else { first.len_utf8() })
}

/// Bytes of the string literal that `rest` begins with.
fn string_len(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    rest.len()
}
