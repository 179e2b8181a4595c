//! How an [`ApiError`] looks to an OpenAI client: status, `type`, `code` and headers, all in one place.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::error::{ApiError, RETRY_AFTER_SECONDS};

const INVALID_REQUEST: &str = "invalid_request_error";

/// Status, `type` and `code`.
fn kind(error: &ApiError) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        ApiError::Invalid { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, None),
        ApiError::ContextLength { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("context_length_exceeded")),
        ApiError::UnknownModel { .. } => (StatusCode::NOT_FOUND, INVALID_REQUEST, Some("model_not_found")),
        ApiError::UnknownPath { .. } => (StatusCode::NOT_FOUND, INVALID_REQUEST, Some("unknown_url")),
        ApiError::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, Some("method_not_allowed")),
        ApiError::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, Some("body_too_large")),
        ApiError::BodyTooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, Some("body_too_slow")),
        ApiError::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full")),
        ApiError::EngineFailed => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("engine_failed")),
    }
}

/// The body: `{"error": {...}}`. Streams that fail on the way carry the same.
pub fn body(error: &ApiError) -> Value {
    let (_, kind, code) = kind(error);
    json!({ "error": { "message": error.to_string(), "type": kind, "param": error.param(), "code": code } })
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, ..) = kind(&self);
        let mut response = (status, Json(body(&self))).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
