//! `POST /tokenize` and `POST /detokenize`, in vLLM's shapes.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{JsonBody, RawBody},
    chat::{WireMessage, chat_messages},
};
use crate::{error::ApiError, service::Service};

#[derive(Debug, Deserialize)]
struct TokenizeFields {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<WireMessage>>,
    add_special_tokens: Option<bool>,
    add_generation_prompt: Option<bool>,
    return_token_strs: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct DetokenizeFields {
    model: Option<String>,
    tokens: Vec<u32>,
}

pub async fn tokenize(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    body.then(move |body| Ok(Json(tokens_of(&service, body)?).into_response())).await
}

fn tokens_of(service: &Service, body: &JsonBody) -> Result<Value, ApiError> {
    let fields: TokenizeFields = body.fields()?;
    service.check_model(fields.model.as_deref())?;
    let tokens = match (&fields.prompt, &fields.messages) {
        (Some(prompt), None) if fields.add_special_tokens == Some(false) => service.encode(prompt, "prompt")?,
        (Some(prompt), None) => service.encode_prompt(prompt, "prompt")?,
        (None, Some(messages)) => {
            service.encode_chat(chat_messages(messages)?, fields.add_generation_prompt.unwrap_or(true))?
        }
        _ => return Err(ApiError::invalid("prompt", "write either prompt or messages")),
    };
    let texts = fields.return_token_strs.unwrap_or(false).then(|| {
        let text = |id: &u32| service.tokenizer.token_text(*id);
        tokens.iter().map(text).collect::<Vec<_>>()
    });
    let max_model_len = service.limits.max_model_len;
    Ok(json!({ "count": tokens.len(), "max_model_len": max_model_len, "tokens": tokens, "token_strs": texts }))
}

pub async fn detokenize(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    body.then(move |body| Ok(Json(text_of(&service, body)?).into_response())).await
}

fn text_of(service: &Service, body: &JsonBody) -> Result<Value, ApiError> {
    let fields: DetokenizeFields = body.fields()?;
    service.check_model(fields.model.as_deref())?;
    // The tokenizer may know tokens that the model has no embedding for, and the model may have rows without a token.
    let entries = service.tokenizer.vocab_size().max(service.limits.vocab_size);
    if let Some(id) = fields.tokens.iter().find(|id| **id as usize >= entries) {
        return Err(ApiError::invalid("tokens", format!("token {id} is not one of the {entries} of the vocabulary")));
    }
    Ok(json!({ "prompt": service.tokenizer.decode(&fields.tokens, false) }))
}
