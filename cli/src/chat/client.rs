//! The wire side of a chat: requests to an OpenAI-compatible endpoint and the pieces of its streamed answer.
//!
//! Owns URLs, headers and error texts. Never prints.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::sse::{EventTooLong, SseDecoder};

/// A server that accepts no connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence within an answer; the first token of a long prompt on a small machine takes tens of seconds, not minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// What went wrong between the terminal and the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// No endpoint is known.
    #[error(transparent)]
    Endpoint(#[from] super::endpoint::EndpointError),
    /// The client could not be set up.
    #[error("set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Nothing answers there.
    #[error("no answer from {url}; is the endpoint up (`bedplate status`), is --url right?")]
    Connect {
        /// Address asked.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// Address asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// The answer broke off.
    #[error("the answer broke off")]
    Interrupted(#[source] reqwest::Error),
    /// The answer ended without saying so.
    #[error("the answer ended without [DONE]; the server may have stopped")]
    Truncated,
    /// The stream holds something that is no chunk of an answer.
    #[error("the server sent something that is no OpenAI chunk: {0}")]
    NotAChunk(String),
    /// An event without end.
    #[error(transparent)]
    TooLong(#[from] EventTooLong),
    /// The server serves nothing.
    #[error("{url} lists no model; name one with --model")]
    NoModel {
        /// Address asked.
        url: String,
    },
    /// Standard input cannot be read.
    #[error("read the terminal")]
    ReadInput(#[source] std::io::Error),
    /// Standard output cannot be written.
    #[error("write to the terminal")]
    WriteOutput(#[source] std::io::Error),
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    role: &'static str,
    content: String,
}

impl Message {
    /// A turn of `role` (`system`, `user` or `assistant`).
    pub fn new(role: &'static str, content: String) -> Self {
        Self { role, content }
    }
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Temperature; none leaves it to the server.
    pub temperature: Option<f64>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An answer to a conversation.
    Chat(Vec<Message>),
    /// A continuation of plain text.
    Complete(String),
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    stream: bool,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

/// A connection pool to one endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    api_key: Option<String>,
}

impl Client {
    /// `url` may end in `/v1` or not. A loopback address is never asked through a proxy.
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ChatError> {
        let base_url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        if is_loopback(&base_url) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build().map_err(ChatError::Setup)?, base_url, api_key })
    }

    /// The endpoint, without `/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The first model the endpoint lists.
    pub async fn first_model(&self) -> Result<String, ChatError> {
        let url = format!("{}/v1/models", self.base_url);
        let response = self.send(self.http.get(&url), &url).await?;
        let listed: serde_json::Value = response.json().await.map_err(ChatError::Interrupted)?;
        let name = listed.pointer("/data/0/id").and_then(|id| id.as_str());
        name.map(str::to_owned).ok_or(ChatError::NoModel { url })
    }

    /// Asks, and returns once the server has begun to answer.
    pub async fn ask(&self, model: &str, sampling: Sampling, ask: Ask) -> Result<Answer, ChatError> {
        let Sampling { max_tokens, temperature } = sampling;
        let (path, messages, prompt) = match ask {
            Ask::Chat(messages) => ("chat/completions", Some(messages), None),
            Ask::Complete(prompt) => ("completions", None, Some(prompt)),
        };
        let request = Request { model, stream: true, max_tokens, temperature, messages, prompt };
        let url = format!("{}/v1/{path}", self.base_url);
        let response = self.send(self.http.post(&url).json(&request), &url).await?;
        Ok(Answer { response, url, decoder: SseDecoder::default(), waiting: VecDeque::new() })
    }

    async fn send(&self, mut request: reqwest::RequestBuilder, url: &str) -> Result<reqwest::Response, ChatError> {
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|source| ChatError::Connect { url: url.to_owned(), source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let message = serde_json::from_str(&body).ok().as_ref().and_then(error_message).unwrap_or(body);
        Err(ChatError::Refused { url: url.to_owned(), status: status.as_u16(), message })
    }
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    url: String,
    decoder: SseDecoder,
    waiting: VecDeque<String>,
}

impl Answer {
    /// The next piece of text; none after `[DONE]`. An end without it is an error, or a dead server would look done.
    pub async fn next(&mut self) -> Result<Option<String>, ChatError> {
        loop {
            while let Some(data) = self.waiting.pop_front() {
                if data == "[DONE]" {
                    return Ok(None);
                }
                let text = piece(&data, &self.url)?;
                if !text.is_empty() {
                    return Ok(Some(text));
                }
            }
            let bytes = self.response.chunk().await.map_err(ChatError::Interrupted)?.ok_or(ChatError::Truncated)?;
            self.waiting.extend(self.decoder.push(&bytes)?);
        }
    }
}

fn piece(data: &str, url: &str) -> Result<String, ChatError> {
    let chunk: Chunk = serde_json::from_str(data).map_err(|_| ChatError::NotAChunk(data.to_owned()))?;
    if let Some(error) = chunk.error {
        let wrapped = serde_json::json!({ "error": error });
        let message = error_message(&wrapped).unwrap_or_else(|| wrapped.to_string());
        return Err(ChatError::Refused { url: url.to_owned(), status: 200, message });
    }
    let choice = chunk.choices.into_iter().next();
    Ok(choice.and_then(|choice| choice.text.or(choice.delta.and_then(|delta| delta.content))).unwrap_or_default())
}

/// The text of an OpenAI-shaped error.
fn error_message(body: &serde_json::Value) -> Option<String> {
    let error = body.get("error")?;
    error.get("message").unwrap_or(error).as_str().map(str::to_owned)
}

fn is_loopback(url: &str) -> bool {
    reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).is_some_and(|host| {
        let bare = host.trim_matches(['[', ']']);
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_both_endpoints_give_their_text() {
        assert_eq!(piece(r#"{"choices":[{"delta":{"content":"Pa"}}]}"#, "u").unwrap(), "Pa");
        assert_eq!(piece(r#"{"choices":[{"text":"ris"}]}"#, "u").unwrap(), "ris");
        assert_eq!(piece(r#"{"choices":[],"usage":{"total_tokens":3}}"#, "u").unwrap(), "");
        let error = piece(r#"{"error":{"message":"cache full"}}"#, "u").unwrap_err();
        assert!(error.to_string().contains("cache full"));
    }

    #[test]
    fn loopback_is_told_from_the_world() {
        for url in ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:9"] {
            assert!(is_loopback(url), "{url}");
        }
        assert!(!is_loopback("https://api.example.com"));
    }
}
