//! Fields that both completion endpoints understand, and those that neither can honour.
//!
//! What is unknown is ignored, since clients send much that changes nothing. What is known, would change the answer and is
//! not there is refused, so that nobody gets another answer than the one asked for.

use serde::Deserialize;
use serde_json::Value;

use super::body::JsonBody;
use crate::error::ApiError;

/// How the answer is to be sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// The model, if the client names one.
    pub model: Option<String>,
    /// Whether to stream.
    pub stream: Option<bool>,
    /// What a stream carries besides.
    pub stream_options: Option<StreamOptions>,
}

/// What a stream carries besides the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last chunk tells the token counts.
    pub include_usage: Option<bool>,
}

impl Delivery {
    /// Reads and checks the fields.
    ///
    /// # Errors
    /// When there are stream options without a stream.
    pub fn of(body: &JsonBody) -> Result<Self, ApiError> {
        let delivery: Self = body.fields()?;
        if delivery.stream_options.is_some() && !delivery.streams() {
            return Err(ApiError::invalid("stream_options", "stream_options is set, but stream is not true; set it"));
        }
        Ok(delivery)
    }

    /// Whether to stream.
    pub fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether a stream ends with the token counts.
    pub fn includes_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }
}

/// A field, the values of it that change nothing, and what to do instead.
type Refusal = (&'static str, fn(&Value) -> bool, &'static str);

/// What neither endpoint can honour.
const REFUSED: [Refusal; 13] = [
    ("tools", is_empty, "this endpoint calls no tools; leave tools out"),
    ("functions", is_empty, "this endpoint calls no functions; leave functions out"),
    ("tool_choice", |value| value == "none" || value == "auto", "this endpoint calls no tools; leave tool_choice out"),
    ("function_call", |value| value == "none" || value == "auto", "this endpoint calls no functions; leave it out"),
    ("response_format", |value| value["type"] == "text", "only response_format of type text is supported"),
    ("modalities", |value| value == &serde_json::json!(["text"]), "only text can be generated; leave modalities out"),
    ("audio", is_empty, "no audio can be generated; leave audio out"),
    ("best_of", |value| value == 1, "best_of is not supported; use n"),
    ("use_beam_search", |value| value == false, "beam search is not supported; leave use_beam_search out"),
    ("prompt_logprobs", |value| value == 0, "prompt_logprobs is not supported; leave it out"),
    ("min_tokens", |value| value == 0, "min_tokens is not supported; leave it out"),
    ("include_stop_str_in_output", |value| value == false, "the stop string is never part of the answer"),
    ("structured_outputs", is_empty, "structured output is not supported; leave structured_outputs out"),
];

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Refuses what would have to change the answer and cannot.
///
/// # Errors
/// Names the first such field and the remedy.
pub fn refuse_unsupported(body: &JsonBody) -> Result<(), ApiError> {
    for (field, changes_nothing, remedy) in REFUSED {
        if body.get(field).is_some_and(|value| !changes_nothing(value)) {
            return Err(ApiError::invalid(field, remedy));
        }
    }
    Ok(())
}
