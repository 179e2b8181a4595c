//! Log-probabilities in the two shapes OpenAI has for them.

use bedplate_tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::generation::PieceToken;

/// A token's own text; bytes that are no UTF-8 by themselves become U+FFFD.
fn text(tokenizer: &Tokenizer, id: u32) -> String {
    String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned()
}

/// The chat shape; null where none were asked for.
pub fn chat(tokenizer: &Tokenizer, tokens: &[PieceToken]) -> Value {
    let entry = |(id, logprob): (u32, f32)| {
        let bytes = tokenizer.token_bytes(id);
        json!({ "token": text(tokenizer, id), "logprob": logprob, "bytes": bytes })
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
    /// Those of `tokens`, whose text begins at character `offset` of the answer; none where none were asked for.
    pub fn of(tokenizer: &Tokenizer, tokens: &[PieceToken], mut offset: usize) -> Option<Self> {
        let mut all = Self { tokens: vec![], token_logprobs: vec![], top_logprobs: vec![], text_offset: vec![] };
        for (token, logprobs) in tokens.iter().filter_map(|token| Some((token, token.logprobs.as_ref()?))) {
            let name = text(tokenizer, token.id);
            all.text_offset.push(offset);
            offset += name.chars().count();
            all.tokens.push(name);
            all.token_logprobs.push(logprobs.chosen.1);
            // The chosen token is always among them, as OpenAI does it.
            let named = logprobs.top.iter().chain([&logprobs.chosen]);
            all.top_logprobs.push(named.map(|&(id, logprob)| (text(tokenizer, id), json!(logprob))).collect());
        }
        (!all.tokens.is_empty()).then_some(all)
    }

    /// Characters that `tokens` stand for, one by one.
    pub fn characters(tokenizer: &Tokenizer, tokens: &[PieceToken]) -> usize {
        tokens.iter().map(|token| text(tokenizer, token.id).chars().count()).sum()
    }
}
