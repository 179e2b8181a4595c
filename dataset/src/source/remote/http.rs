//! One file over HTTP.

use std::sync::Arc;

use bedplate_crds::uri::{self, ShownUri};
use futures::{FutureExt, StreamExt, TryStreamExt};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED},
};

use super::{
    Address, Answer, Attempt, Client, RemoteError, RemoteObject,
    guard::{Failed, Http, describe},
};

impl Client {
    /// The file at `uri`, after the server was asked whether it is there.
    pub fn http_object(self: &Arc<Self>, uri: &str) -> Result<RemoteObject, RemoteError> {
        let shown = ShownUri::new(uri);
        let url = Url::parse(uri);
        let url = url.map_err(|error| RemoteError::ParseUri { uri: shown.clone(), reason: error.to_string() })?;
        let headers = self.retry(&shown, || {
            let (http, url, uri) = (self.http.clone(), url.clone(), shown.clone());
            async move { probe(&http, &url, &uri).await }.boxed()
        })?;
        let path = url.path_segments().and_then(|mut parts| parts.next_back()).filter(|name| !name.is_empty());
        Ok(RemoteObject {
            path: path.unwrap_or("index").to_owned(),
            size: text(&headers, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            validator: validator(&headers),
            identity: uri::identity(uri),
            uri: shown,
            address: Address::Http(url),
            client: Arc::clone(self),
        })
    }
}

/// What the server says of a file. A signature may be good for GET alone, and many servers do not know HEAD, so only what GET
/// is told counts as a refusal; of its answer no more than the beginning is read.
async fn probe(http: &Http, url: &Url, uri: &ShownUri) -> Attempt<HeaderMap> {
    match http.send(Method::HEAD, url, 0).await {
        Ok(response) if response.status().is_success() => return Attempt::Success(response.headers().clone()),
        Ok(response) => tracing::debug!(%uri, status = %response.status(), "HEAD is refused; asking with GET"),
        Err(Failed::Again(reason)) => tracing::debug!(%uri, reason, "HEAD has no answer; asking with GET"),
        Err(failed @ Failed::Lasting(_)) => return attempt(failed, uri),
    }
    match http.send(Method::GET, url, 0).await {
        Ok(response) => accept(response, uri, |response| response.headers().clone()),
        Err(failed) => attempt(failed, uri),
    }
}

fn attempt<T>(failed: Failed, uri: &ShownUri) -> Attempt<T> {
    match failed {
        Failed::Again(reason) => Attempt::Again(reason),
        Failed::Lasting(reason) => Attempt::Failure(RemoteError::Answer { uri: uri.clone(), reason }),
    }
}

/// The bytes from `offset` on.
pub(super) async fn get(http: &Http, url: &Url, uri: &ShownUri, offset: u64) -> Attempt<Answer> {
    match http.send(Method::GET, url, offset).await {
        // The connection broke after the last byte of a file whose size nobody had told.
        Ok(response) if offset > 0 && total(&response) == Some(offset) && is_beyond(&response) => {
            Attempt::Success(Answer { body: futures::stream::empty().boxed(), validator: None, total: Some(offset) })
        }
        Ok(response) => match accept(response, uri, |response| response) {
            Attempt::Success(response) => from_offset(response, uri, offset),
            Attempt::Again(reason) => Attempt::Again(reason),
            Attempt::Failure(error) => Attempt::Failure(error),
        },
        Err(failed) => attempt(failed, uri),
    }
}

fn is_beyond(response: &Response) -> bool {
    response.status() == StatusCode::RANGE_NOT_SATISFIABLE
}

/// Bytes of the whole file, from an answer about a part of it.
fn total(response: &Response) -> Option<u64> {
    text(response.headers(), CONTENT_RANGE)?.rsplit('/').next()?.trim().parse().ok()
}

/// Makes sure that the body begins at `offset`, whether or not the server honoured the range.
fn from_offset(response: Response, uri: &ShownUri, offset: u64) -> Attempt<Answer> {
    let (validator, total) = (validator(response.headers()), total(&response));
    let begin = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = text(response.headers(), CONTENT_RANGE);
            range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse::<u64>().ok())
        }
        _ => Some(0),
    };
    let Some(skipped) = begin.and_then(|begin| offset.checked_sub(begin)) else {
        let reason = "it answers another range than was asked for; use a server that supports Range".to_owned();
        return Attempt::Failure(RemoteError::Answer { uri: uri.clone(), reason });
    };
    let body = response.bytes_stream().map_err(describe);
    let mut left = skipped;
    let body = body.map(move |chunk| {
        chunk.map(|mut chunk: bytes::Bytes| {
            let cut = left.min(chunk.len() as u64);
            left -= cut;
            chunk.split_off(cut as usize)
        })
    });
    Attempt::Success(Answer { body: body.boxed(), validator, total })
}

fn accept<T>(response: Response, uri: &ShownUri, take: impl FnOnce(Response) -> T) -> Attempt<T> {
    let (uri, status) = (uri.clone(), response.status());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Attempt::Failure(RemoteError::Find { uri }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Attempt::Failure(RemoteError::Access { uri }),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Attempt::Again(format!("it answers {status}")),
        _ if status.is_success() => Attempt::Success(take(response)),
        _ if status.is_server_error() => Attempt::Again(format!("it answers {status}")),
        _ => Attempt::Failure(RemoteError::Answer { uri, reason: format!("it answers {status}; check the address") }),
    }
}

/// The server's name for a content. A weak ETag promises the same text, which is what a file without a transfer's compression
/// has bytes for.
fn validator(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, ETAG).map(|etag| etag.trim().trim_start_matches("W/"));
    etag.filter(|etag| !etag.trim_matches('"').is_empty()).or_else(|| text(headers, LAST_MODIFIED)).map(str::to_owned)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
