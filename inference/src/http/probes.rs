//! What is asked about the server itself: models, health, version, metrics.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{error::ApiError, service::Service};

/// Content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn model_body(service: &Service) -> Value {
    json!({
        "id": service.model_name,
        "object": "model",
        "created": service.created,
        "owned_by": "bedplate",
        "root": service.model_name,
        "parent": null,
        "max_model_len": service.limits.max_model_len,
        "eos_token_ids": service.tokenizer.eos_token_ids(),
        "eos_tokens": service.tokenizer.end_tokens().map(|(_, text)| text).collect::<Vec<_>>(),
    })
}

/// What a client needs to tokenise as the model does and to write its prompts, in the names of tokenizer_config.json, as
/// vLLM answers it; lm-eval reads it before it asks `/tokenize`.
pub async fn tokenizer_info(State(service): State<Arc<Service>>) -> Json<Value> {
    let tokenizer = &service.tokenizer;
    let written = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id));
    Json(json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": service.limits.max_model_len,
        "bos_token": written(tokenizer.bos_token_id()),
        "eos_token": written(tokenizer.eos_token_ids().first().copied()),
        "add_bos_token": tokenizer.bos_token_id().is_some_and(|bos| tokenizer.prefix().contains(&bos)),
        "chat_template": tokenizer.chat_template(None).ok().map(|template| template.source().to_owned()),
    }))
}

pub async fn list_models(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [model_body(&service)] }))
}

pub async fn show_model(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Json<Value>, ApiError> {
    service.check_model(Some(&model))?;
    Ok(Json(model_body(&service)))
}

/// Whether the process can still do its work; where not, only a new process can.
pub async fn health(State(service): State<Arc<Service>>) -> StatusCode {
    if service.engine.has_failed() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// Whether another request would be taken in now.
pub async fn ready(State(service): State<Arc<Service>>) -> StatusCode {
    let full = service.engine.num_waiting() >= service.limits.max_queue_len;
    if full || service.engine.has_failed() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

pub async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

pub async fn metrics(State(service): State<Arc<Service>>) -> Response {
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], service.metrics.render(&service.engine)).into_response()
}
