//! Reads a JSON body whole and turns it into typed fields, with errors that name the field.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;

/// Largest body that is read: a prompt of a million tokens with room to spare, and small against the machine's memory.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// How long a body may take to arrive; a connection that only trickles would otherwise be held for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is a JSON object. The content type is not looked at: many clients name none or the wrong one.
#[derive(Debug)]
pub struct JsonBody(Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let bytes =
            read.map_err(|_| ApiError::BodyTooSlow { seconds: BODY_TIMEOUT.as_secs() })?.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit_bytes: MAX_BODY_BYTES },
                    _ => whole(format!("could not read the body: {}", rejection.body_text())),
                }
            })?;
        match serde_json::from_slice(&bytes) {
            Ok(object @ Value::Object(_)) => Ok(Self(object)),
            Ok(_) => Err(whole("the body must be a JSON object".to_owned())),
            Err(error) => Err(whole(format!("the body is not valid JSON: {error}"))),
        }
    }
}

impl JsonBody {
    /// The fields that `T` knows; others are left alone.
    ///
    /// # Errors
    /// Names the field whose type is wrong or that is missing.
    pub fn fields<'body, T: Deserialize<'body>>(&'body self) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(&self.0).map_err(|error| {
            let (path, reason) = (error.path().to_string(), error.inner().to_string());
            match (path.as_str(), missing_field(&reason)) {
                (".", Some(field)) => ApiError::invalid(field, format!("{field} is missing; write it")),
                (".", None) => whole(reason),
                _ => ApiError::invalid(path.as_str(), format!("{path}: {reason}")),
            }
        })
    }

    /// A field as it came; null counts as absent.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }
}

/// The field that serde says is missing; its path leads only to the object that should have it.
fn missing_field(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.strip_suffix('`')
}

/// An error of the body as a whole.
fn whole(message: String) -> ApiError {
    ApiError::Invalid { param: None, message }
}
