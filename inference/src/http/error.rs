//! How an [`ApiError`] looks to an OpenAI client: status, `type`, `code` and headers, all in one place.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::error::ApiError;

const INVALID_REQUEST: &str = "invalid_request_error";
const SERVER_ERROR: &str = "server_error";

/// Status, `type` and `code`.
fn kind(error: &ApiError) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        ApiError::Invalid { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, None),
        ApiError::ContextLength { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("context_length_exceeded")),
        ApiError::TextTooLong { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("context_length_exceeded")),
        ApiError::UnknownModel { .. } => (StatusCode::NOT_FOUND, INVALID_REQUEST, Some("model_not_found")),
        ApiError::UnknownPath { .. } => (StatusCode::NOT_FOUND, INVALID_REQUEST, Some("unknown_url")),
        ApiError::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, Some("method_not_allowed")),
        ApiError::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, Some("body_too_large")),
        ApiError::BodyTooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, Some("body_too_slow")),
        ApiError::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full")),
        ApiError::IntakeFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("intake_full")),
        ApiError::NotFinite => (StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, Some("logits_not_finite")),
        ApiError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, SERVER_ERROR, Some("shutting_down")),
        ApiError::EngineFailed => (StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, Some("engine_failed")),
        ApiError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, Some("internal_error")),
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
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What openai-python waits for: it ignores 0 and gives up at once above 120.
    const ACCEPTED_BY_CLIENTS: std::ops::RangeInclusive<u32> = 1..=120;

    #[test]
    fn whoever_is_sent_away_for_now_is_told_for_how_long_and_nobody_else_is() {
        let passing =
            [ApiError::QueueFull { max_queue_len: 8 }, ApiError::IntakeFull { most_bytes: 9 }, ApiError::ShuttingDown];
        for error in passing {
            let told = tonic::Status::from(error.clone()).metadata().get("retry-after").cloned();
            let told_by_grpc: u32 = told.expect("gRPC tells it").to_str().unwrap().parse().unwrap();
            let response = error.into_response();
            assert!([429, 503].contains(&response.status().as_u16()));
            let told_by_http: u32 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!(ACCEPTED_BY_CLIENTS.contains(&told_by_http) && told_by_http == told_by_grpc);
        }
        for error in [ApiError::EngineFailed, ApiError::NotFinite, ApiError::Internal, ApiError::invalid("n", "n is 0")]
        {
            assert!(!error.clone().into_response().headers().contains_key(RETRY_AFTER), "{error}");
            assert!(tonic::Status::from(error).metadata().get("retry-after").is_none());
        }
    }
}
