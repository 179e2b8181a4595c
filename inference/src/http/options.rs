//! Fields that both completion endpoints understand: how the answer is to be sent, and what is told beside its text.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::JsonBody,
    fields::{self, Ignored},
};
use crate::{error::ApiError, generation::Piece, request::GenerateRequest, request_fields::Endpoint};

/// How the answer is to be sent.
#[derive(Debug)]
pub struct Delivery {
    /// The model, if the client names one.
    pub model: Option<String>,
    /// Whether log-probabilities name a token by its id.
    pub names_ids: bool,
    /// Fields of the request that had no effect.
    pub ignored: Ignored,
    returns_token_ids: bool,
    stream: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeliveryFields {
    model: Option<String>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    return_token_ids: Option<bool>,
    return_tokens_as_token_ids: Option<bool>,
}

/// What a stream carries besides the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last chunk tells the token counts.
    include_usage: Option<bool>,
    /// Whether every chunk tells those of its answer so far.
    continuous_usage_stats: Option<bool>,
}

impl StreamOptions {
    /// Whether a stream ends with the token counts.
    pub fn includes_usage(self) -> bool {
        self.include_usage.unwrap_or(false)
    }

    /// Whether every chunk has them too; only together with the last, as in vLLM.
    pub fn counts_continuously(self) -> bool {
        self.includes_usage() && self.continuous_usage_stats.unwrap_or(false)
    }
}

impl Delivery {
    /// Checks every field of a request to `endpoint` against the table of fields, and reads those that are meant here.
    ///
    /// # Errors
    /// When one cannot be honoured, or there are stream options without a stream.
    pub fn of(body: &JsonBody, endpoint: Endpoint) -> Result<Self, ApiError> {
        let ignored = fields::check(body, endpoint)?;
        let read: DeliveryFields = body.fields()?;
        let streams = read.stream.unwrap_or(false);
        if read.stream_options.is_some() && !streams {
            return Err(ApiError::invalid("stream_options", "stream_options is set, but stream is not true; set it"));
        }
        Ok(Self {
            model: read.model,
            names_ids: read.return_tokens_as_token_ids.unwrap_or(false),
            ignored,
            returns_token_ids: read.return_token_ids.unwrap_or(false),
            stream: streams.then(|| read.stream_options.unwrap_or_default()),
        })
    }

    /// How to stream, if at all.
    pub fn stream(&self) -> Option<StreamOptions> {
        self.stream
    }

    /// What is to be told of the ids of `requests` and their answers.
    pub fn token_ids(&self, requests: &[GenerateRequest]) -> TokenIds {
        let prompts = || requests.iter().map(|request| request.prompt.clone()).collect();
        TokenIds(self.returns_token_ids.then(prompts))
    }
}

/// The token ids of prompts and answers, where the client wants them (`return_token_ids`, in vLLM's names).
#[derive(Debug)]
pub struct TokenIds(Option<Vec<Vec<u32>>>);

impl TokenIds {
    /// Whether they are wanted.
    pub fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Adds those of the prompt of answer `index`.
    pub fn note_prompt(&self, index: usize, to: &mut Value) {
        if let Some(prompt) = self.0.as_ref().and_then(|prompts| prompts.get(index)) {
            to["prompt_token_ids"] = json!(prompt);
        }
    }

    /// Adds those of a piece of an answer, the one that ended it included.
    pub fn note(&self, piece: &Piece, to: &mut Value) {
        if self.are_wanted() {
            to["token_ids"] = piece.tokens.iter().map(|token| token.id).chain(piece.ended_by).collect();
        }
    }
}
