//! One file over HTTP.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt};
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RANGE},
};

use super::{Address, Answer, Attempt, Client, RemoteError, RemoteObject};

impl Client {
    /// The file at `uri`, after the server was asked whether it is there.
    pub fn http_object(self: &Arc<Self>, uri: &str) -> Result<RemoteObject, RemoteError> {
        let url = Url::parse(uri);
        let url = url.map_err(|error| RemoteError::ParseUri { uri: uri.to_owned(), reason: error.to_string() })?;
        let headers = self.retry(uri, || {
            let (http, url, uri) = (self.http.clone(), url.clone(), uri.to_owned());
            async move { head(&http, url, &uri).await }.boxed()
        })?;
        let path = url.path_segments().and_then(|mut parts| parts.next_back()).filter(|name| !name.is_empty());
        Ok(RemoteObject {
            path: path.unwrap_or("index").to_owned(),
            size: text(&headers, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            validator: validator(&headers),
            uri: uri.to_owned(),
            address: Address::Http(url),
            client: Arc::clone(self),
        })
    }
}

/// What HEAD says; nothing where the server does not know that method.
async fn head(http: &reqwest::Client, url: Url, uri: &str) -> Attempt<HeaderMap> {
    match http.head(url).send().await {
        Ok(response) => match response.status() {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Attempt::Success(HeaderMap::new()),
            _ => accept(response, uri, |response| response.headers().clone()),
        },
        Err(error) => Attempt::Again(describe(&error)),
    }
}

/// The bytes from `offset` on.
pub(super) async fn get(http: &reqwest::Client, url: &Url, uri: &str, offset: u64) -> Attempt<Answer> {
    let mut request = http.get(url.clone());
    if offset > 0 {
        request = request.header(RANGE, format!("bytes={offset}-"));
    }
    match request.send().await {
        Ok(response) => match accept(response, uri, |response| response) {
            Attempt::Success(response) => from_offset(response, uri, offset).await,
            Attempt::Again(reason) => Attempt::Again(reason),
            Attempt::Failure(error) => Attempt::Failure(error),
        },
        Err(error) => Attempt::Again(describe(&error)),
    }
}

/// Makes sure that the body begins at `offset`, whether or not the server honoured the range.
async fn from_offset(response: Response, uri: &str, offset: u64) -> Attempt<Answer> {
    let validator = validator(response.headers());
    let begin = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = text(response.headers(), CONTENT_RANGE);
            range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse::<u64>().ok())
        }
        _ => Some(0),
    };
    let Some(skipped) = begin.and_then(|begin| offset.checked_sub(begin)) else {
        let reason = "it answers another range than was asked for; use a server that supports Range".to_owned();
        return Attempt::Failure(RemoteError::Answer { uri: uri.to_owned(), reason });
    };
    let body = response.bytes_stream().map_err(|error| describe(&error));
    let mut left = skipped;
    let body = body.map(move |chunk| {
        chunk.map(|mut chunk: bytes::Bytes| {
            let cut = left.min(chunk.len() as u64);
            left -= cut;
            chunk.split_off(cut as usize)
        })
    });
    Attempt::Success(Answer { body: body.boxed(), validator })
}

fn accept<T>(response: Response, uri: &str, take: impl FnOnce(Response) -> T) -> Attempt<T> {
    let (uri, status) = (uri.to_owned(), response.status());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Attempt::Failure(RemoteError::Find { uri }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Attempt::Failure(RemoteError::Access { uri }),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Attempt::Again(format!("it answers {status}")),
        _ if status.is_success() => Attempt::Success(take(response)),
        _ if status.is_server_error() => Attempt::Again(format!("it answers {status}")),
        _ => Attempt::Failure(RemoteError::Answer { uri, reason: format!("it answers {status}; check the address") }),
    }
}

fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, ETAG).or_else(|| text(headers, LAST_MODIFIED)).map(str::to_owned)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// reqwest keeps the reason in the sources.
fn describe(error: &reqwest::Error) -> String {
    bedplate_telemetry::chain::Chain(error).to_string()
}
