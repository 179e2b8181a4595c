//! Rewrites what transformers' Jinja knows and this one does not.
//!
//! Owns the tag `generation` (which marks the assistant's text for training and renders its body) and the operator `%`
//! on strings. Never changes a template that has neither, nor text outside of tags.

mod tokens;

use tokens::{Kind, Token};

/// The function that `left % right` becomes.
pub(super) const PERCENT: &str = "__percent";
/// Most operators rewritten in one expression; the rest are left to Jinja, which knows them for numbers.
const MAX_OPERATORS: usize = 64;
/// Words that are no operands.
const KEYWORDS: [&str; 15] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "set",
    "print",
    "call",
    "filter",
    "with",
    "recursive",
];

/// The template in the words of this Jinja.
pub(super) fn rewrite(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match rest.as_bytes().get(1) {
            Some(b'#') => rest.find("#}").map_or(rest.len(), |end| end + 2),
            Some(b'%') => tag(rest, "%}", &mut text),
            Some(b'{') => tag(rest, "}}", &mut text),
            _ => 1,
        };
        if !matches!(rest.as_bytes().get(1), Some(b'%' | b'{')) {
            text.push_str(&rest[..len]);
        }
        rest = &rest[len..];
    }
    text.push_str(rest);
    text
}

/// Writes the tag that `source` begins with; the length it had. A raw block is written whole.
fn tag(source: &str, close: &str, text: &mut String) -> usize {
    let body = &source[2..];
    let (tokens, end) = tokens::lex(body, close);
    let inside = &body[..end];
    text.push_str(&source[..2]);
    let word = tokens.iter().find(|token| token.text != "-" && token.text != "+").filter(|_| close == "%}");
    match word.map(|token| token.text) {
        Some("raw") => {
            let behind = end_of_raw(body);
            text.push_str(&body[..behind]);
            return 2 + behind;
        }
        // A block of its own, as in transformers: what is set inside is not known behind.
        Some(name @ ("generation" | "endgeneration")) => {
            text.push_str(&inside.replacen(name, if name == "generation" { "with" } else { "endwith" }, 1));
        }
        _ => text.push_str(&percent(inside)),
    }
    2 + end
}

/// Where the raw block that began in front of `body` ends.
fn end_of_raw(body: &str) -> usize {
    let mut from = 0;
    while let Some(at) = body[from..].find("{%") {
        let tag = &body[from + at + 2..];
        let word = tag.trim_start_matches(['-', '+']).trim_start();
        from += at + 2;
        if word.starts_with("endraw") {
            return from + tag.find("%}").map_or(tag.len(), |end| end + 2);
        }
    }
    body.len()
}

/// `left % right` as a call, in every place where `left` may be a string.
fn percent(expression: &str) -> String {
    let mut text = expression.to_owned();
    let mut done = 0;
    for _ in 0..MAX_OPERATORS {
        let (tokens, _) = tokens::lex(&text, "");
        let next =
            tokens.iter().enumerate().skip(done).find(|(_, token)| token.text == "%" && token.kind == Kind::Sign);
        let Some((at, _)) = next else { break };
        let Some((first, last)) = operands(&tokens, at) else {
            done = at + 1;
            continue;
        };
        let (left, right) = (tokens[first].start..tokens[at - 1].end(), tokens[at + 1].start..tokens[last].end());
        let call = format!("{PERCENT}({}, {})", &text[left.clone()], &text[right.clone()]);
        text.replace_range(left.start..right.end, &call);
    }
    text
}

/// First token of the operand in front of the operator at `at`, and last token of the one behind.
/// None for a remainder by a number, which Jinja knows, and where an operand is missing.
fn operands(tokens: &[Token<'_>], at: usize) -> Option<(usize, usize)> {
    let first = left_operand(tokens, at)?;
    let last = right_operand(tokens, at + 1)?;
    let is_remainder = last == at + 1 && tokens[last].kind == Kind::Number && tokens[at - 1].kind != Kind::Text;
    (!is_remainder).then_some((first, last))
}

fn is_operand_end(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Name => !KEYWORDS.contains(&token.text),
        Kind::Number | Kind::Text => true,
        Kind::Sign => matches!(token.text, ")" | "]" | "}"),
    }
}

/// The chain of products that ends in front of `at`: `%` binds as they do, from the left.
fn left_operand(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        let mut start = at.checked_sub(1)?;
        loop {
            if !is_operand_end(&tokens[start]) {
                return None;
            }
            let is_group = matches!(tokens[start].text, ")" | "]" | "}") && tokens[start].kind == Kind::Sign;
            if is_group {
                start = tokens[start].partner?;
            }
            let Some(before) = start.checked_sub(1) else { return Some(start) };
            match tokens[before].text {
                "." | "|" => start = before.checked_sub(1)?,
                _ if is_group && is_operand_end(&tokens[before]) && tokens[start].text != "{" => start = before,
                _ => break,
            }
        }
        let mut before = start.checked_sub(1)?;
        let is_sign = matches!(tokens[before].text, "-" | "+") && tokens[before].kind == Kind::Sign;
        if is_sign && before.checked_sub(1).is_some_and(|earlier| !is_operand_end(&tokens[earlier])) {
            start = before;
            before -= 1;
        }
        match tokens[before].text {
            "*" | "/" | "//" | "**" | "%" if tokens[before].kind == Kind::Sign => at = before,
            _ => return Some(start),
        }
    }
}

/// Last token of the operand that begins at `at`, with its attributes, calls and filters.
fn right_operand(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut last = at;
    while matches!(tokens.get(last)?.text, "-" | "+") {
        last += 1;
    }
    if let "(" | "[" | "{" = tokens[last].text {
        last = tokens[last].partner?;
    } else if !is_operand_end(&tokens[last]) {
        return None;
    }
    loop {
        match tokens.get(last + 1).filter(|token| token.kind == Kind::Sign).map(|token| token.text) {
            Some("." | "|") if tokens.len() > last + 2 => last += 2,
            Some("(" | "[") => last = tokens[last + 1].partner?,
            Some("**") => last = right_operand(tokens, last + 2)?,
            _ => return Some(last),
        }
    }
}
