//! Log-probabilities in the two shapes OpenAI has for them.
//!
//! Owns how a token is named. A token that is a part of a character has no text of its own: a completion names it by its
//! bytes, `bytes:\xe2\x82`, as OpenAI does; a chat writes U+FFFD and has a field for the bytes.

use std::{collections::BTreeSet, sync::Arc};

use bedplate_tokenizer::{DecodeStream, Tokenizer};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::generation::PieceToken;

#[cfg(test)]
mod tests;

/// Least log-probability that is written, as vLLM's: JSON has no negative infinity.
const LEAST: f32 = -9999.0;

/// How the tokens of an answer are named.
#[derive(Clone, Debug)]
pub struct Names {
    tokenizer: Arc<Tokenizer>,
    as_ids: bool,
}

impl Names {
    /// By their text or, with `as_ids`, as vLLM writes ids: `token_id:5`.
    pub fn new(tokenizer: Arc<Tokenizer>, as_ids: bool) -> Self {
        Self { tokenizer, as_ids }
    }

    /// Its text; bytes that are no UTF-8 by themselves become U+FFFD.
    fn lossy(&self, id: u32) -> String {
        if self.as_ids {
            return id_name(id);
        }
        String::from_utf8_lossy(self.tokenizer.token_bytes(id)).into_owned()
    }

    /// Its text, or its bytes where they are no text.
    fn exact(&self, id: u32) -> String {
        if self.as_ids {
            return id_name(id);
        }
        let bytes = self.tokenizer.token_bytes(id);
        let hexadecimal = || bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        std::str::from_utf8(bytes).map_or_else(|_| format!("bytes:{}", hexadecimal()), str::to_owned)
    }
}

fn id_name(id: u32) -> String {
    format!("token_id:{id}")
}

/// The chat shape; null where none were asked for.
pub fn chat(names: &Names, tokens: &[PieceToken]) -> Value {
    let entry = |(id, logprob): (u32, f32)| {
        let bytes = names.tokenizer.token_bytes(id);
        json!({ "token": names.lossy(id), "logprob": logprob.max(LEAST), "bytes": bytes })
    };
    let content: Vec<Value> = tokens
        .iter()
        .filter_map(|token| token.logprobs.as_ref())
        .map(|logprobs| {
            let mut chosen = entry(logprobs.chosen);
            chosen["top_logprobs"] = logprobs.top.iter().copied().map(entry).collect();
            chosen
        })
        .collect();
    if content.is_empty() { Value::Null } else { json!({ "content": content, "refusal": null }) }
}

/// The completions shape.
#[derive(Debug, Serialize)]
pub struct CompletionLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Map<String, Value>>,
    text_offset: Vec<usize>,
}

impl CompletionLogprobs {
    /// Those of `tokens`, which follow what `offsets` has seen; none where none were asked for.
    pub fn of(names: &Names, tokens: &[PieceToken], offsets: &mut Offsets) -> Option<Self> {
        let mut all = Self { tokens: vec![], token_logprobs: vec![], top_logprobs: vec![], text_offset: vec![] };
        for (token, logprobs) in tokens.iter().filter_map(|token| Some((token, token.logprobs.as_ref()?))) {
            all.text_offset.push(offsets.take(token.id));
            all.tokens.push(names.exact(token.id));
            all.token_logprobs.push(logprobs.chosen.1.max(LEAST));
            // The chosen token is always among them, as OpenAI does it, and the first to have its name.
            let others = logprobs.top.iter().filter(|(id, _)| *id != token.id);
            let mut named = BTreeSet::new();
            let entry = |&(id, logprob): &(u32, f32)| {
                let name = names.exact(id);
                let name = if named.insert(name.clone()) { name } else { id_name(id) };
                (name, json!(logprob.max(LEAST)))
            };
            all.top_logprobs.push([&logprobs.chosen].into_iter().chain(others).map(entry).collect());
        }
        (!all.tokens.is_empty()).then_some(all)
    }
}

/// Counts the characters of an answer, so that each token can be told where it begins. A token that continues a
/// character begins where that character does.
#[derive(Debug)]
pub struct Offsets {
    decode: DecodeStream<Arc<Tokenizer>>,
    characters: usize,
}

impl Offsets {
    /// For the answer to `prompt`; with `skip_special`, special tokens are no part of the text.
    pub fn new(tokenizer: Arc<Tokenizer>, prompt: &[u32], skip_special: bool) -> Self {
        Self { decode: DecodeStream::after(tokenizer, prompt, skip_special), characters: 0 }
    }

    /// Where the text of the next token, `id`, begins.
    fn take(&mut self, id: u32) -> usize {
        let begin = self.characters;
        self.characters += self.decode.push(id).map_or(0, |text| text.chars().count());
        begin
    }
}
