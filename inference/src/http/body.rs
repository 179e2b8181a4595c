//! Reads a JSON body whole, within what the intake has room for, and turns it into typed fields, with errors that name
//! the field.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use crate::{error::ApiError, intake::Reservation, metrics::Rejection, service::Service};

/// Largest body that is read: a prompt of a million tokens with room to spare, and small against the machine's memory.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// How long a body may take to arrive; a connection that only trickles would otherwise be held for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a refused body that are read and thrown away. A client that is still sending when the connection is
/// closed never sees why.
const MAX_DISCARDED_BYTES: usize = 4 * MAX_BODY_BYTES;

/// A body as it came, with the room it takes. The content type is not looked at: many clients name none or the wrong one.
#[derive(Debug)]
pub struct RawBody {
    bytes: Vec<u8>,
    reservation: Reservation,
}

impl FromRequest<Arc<Service>> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, ApiError> {
        let mut body = request.into_body();
        let read = tokio::time::timeout(BODY_TIMEOUT, Self::read(&mut body, service)).await;
        let read = read.unwrap_or(Err(ApiError::BodyTooSlow { seconds: BODY_TIMEOUT.as_secs() }));
        if read.is_err() {
            // Whether all of it came in time changes nothing.
            let _ = tokio::time::timeout(BODY_TIMEOUT, discard(body)).await;
        }
        read
    }
}

impl RawBody {
    async fn read(body: &mut Body, service: &Service) -> Result<Self, ApiError> {
        let length = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if length.is_some_and(|length| length > MAX_BODY_BYTES) {
            return Err(ApiError::BodyTooLarge { limit_bytes: MAX_BODY_BYTES });
        }
        let mut reservation = service.reserve(length)?;
        let mut bytes = Vec::with_capacity(length.unwrap_or(0));
        let mut chunks = std::mem::take(body).into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| whole(format!("could not read the body: {error}")))?;
            let refused = match bytes.len() + chunk.len() {
                longer if longer > MAX_BODY_BYTES => Err(ApiError::BodyTooLarge { limit_bytes: MAX_BODY_BYTES }),
                longer => reservation.hold(longer).inspect_err(|_| service.metrics.rejected(Rejection::RequestBytes)),
            };
            if let Err(refused) = refused {
                *body = Body::from_stream(chunks);
                return Err(refused);
            }
            bytes.extend_from_slice(&chunk);
            // A client that sends fast always has more; the others on this thread come first.
            tokio::task::yield_now().await;
        }
        Ok(Self { bytes, reservation })
    }

    /// Parses the body and does `work` with it, all where it holds up nobody: see [`crate::intake`].
    ///
    /// # Errors
    /// When the body is no JSON object, and those of `work`.
    pub async fn then<T: Send + 'static>(
        self,
        work: impl FnOnce(&JsonBody) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Self { bytes, reservation } = self;
        reservation.run(move || work(&JsonBody::parse(bytes)?)).await?
    }
}

/// Reads what a client still sends, up to a bound, and keeps nothing of it.
async fn discard(body: Body) {
    let (mut chunks, mut discarded) = (body.into_data_stream(), 0);
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > MAX_DISCARDED_BYTES {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A body that is a JSON object.
#[derive(Debug)]
pub struct JsonBody(Value);

impl JsonBody {
    fn parse(bytes: Vec<u8>) -> Result<Self, ApiError> {
        match serde_json::from_slice(&bytes) {
            Ok(object @ Value::Object(_)) => Ok(Self(object)),
            Ok(_) => Err(whole("the body must be a JSON object".to_owned())),
            Err(error) => Err(whole(format!("the body is not valid JSON: {error}"))),
        }
    }

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

    /// Every field as it came.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.as_object().into_iter().flatten()
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
