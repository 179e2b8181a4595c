//! `POST /tokenize` and `POST /detokenize`, in vLLM's shapes.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::RawBody,
    chat::{WireMessage, chat_messages},
    fields,
    template::TemplateFields,
};
use crate::{error::ApiError, request_fields::Endpoint, service::Service};

#[derive(Debug, Deserialize)]
struct TokenizeFields {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<WireMessage>>,
    add_special_tokens: Option<bool>,
    return_token_strs: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct DetokenizeFields {
    model: Option<String>,
    tokens: Vec<u32>,
}

pub async fn tokenize(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    body.then(move |body| {
        let ignored = fields::check(body, Endpoint::Tokenize)?;
        Ok(ignored.noted_on(Json(tokens_of(&service, &body.fields()?, body.fields()?)?)))
    })
    .await
}

fn tokens_of(service: &Service, asked: &TokenizeFields, template: TemplateFields) -> Result<Value, ApiError> {
    service.check_model(asked.model.as_deref())?;
    let tokens = match (&asked.prompt, &asked.messages) {
        (Some(prompt), None) if asked.add_special_tokens == Some(false) => service.encode(prompt, "prompt")?,
        (Some(prompt), None) => service.encode_prompt(prompt, "prompt")?,
        (None, Some(messages)) => service.encode_chat(chat_messages(messages)?, &template.options()?)?,
        _ => return Err(ApiError::invalid("prompt", "write either prompt or messages")),
    };
    let texts = asked.return_token_strs.unwrap_or(false).then(|| {
        let text = |id: &u32| service.tokenizer.token_text(*id);
        tokens.iter().map(text).collect::<Vec<_>>()
    });
    let max_model_len = service.limits.max_model_len;
    Ok(json!({ "count": tokens.len(), "max_model_len": max_model_len, "tokens": tokens, "token_strs": texts }))
}

pub async fn detokenize(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    body.then(move |body| {
        let ignored = fields::check(body, Endpoint::Detokenize)?;
        Ok(ignored.noted_on(Json(text_of(&service, &body.fields()?)?)))
    })
    .await
}

fn text_of(service: &Service, asked: &DetokenizeFields) -> Result<Value, ApiError> {
    service.check_model(asked.model.as_deref())?;
    // The tokenizer may know tokens that the model has no embedding for, and the model may have rows without a token.
    let entries = service.tokenizer.vocab_size().max(service.limits.vocab_size);
    if let Some(id) = asked.tokens.iter().find(|id| **id as usize >= entries) {
        return Err(ApiError::invalid("tokens", format!("token {id} is not one of the {entries} of the vocabulary")));
    }
    Ok(json!({ "prompt": service.tokenizer.decode(&asked.tokens, false) }))
}
