//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bedplate_tokenizer::ChatMessage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{JsonBody, RawBody},
    choices::{self, Begun, Shape},
    logprobs,
    options::{self, Delivery},
    tracing_layer,
};
use crate::{
    error::ApiError,
    generation::Piece,
    request::{GenerateRequest, GenerationOptions, Limits},
    service::Service,
};

/// Fields of a chat request that no other request has.
#[derive(Debug, Deserialize)]
struct ChatFields {
    messages: Vec<WireMessage>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    logprobs: Option<bool>,
    top_logprobs: Option<u64>,
}

/// A message as clients write it.
#[derive(Debug, Deserialize)]
pub(super) struct WireMessage {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of text parts")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

pub async fn create(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    let begun = body.then({
        let service = service.clone();
        move |body| begin(&service, body)
    });
    choices::respond(begun.await?, &service.intake).await
}

/// Checks the request and hands it to the engine.
fn begin(service: &Arc<Service>, body: &JsonBody) -> Result<Begun<ChatShape>, ApiError> {
    let delivery = Delivery::of(body)?;
    service.check_model(delivery.model.as_deref())?;
    options::refuse_unsupported(body)?;
    let fields: ChatFields = body.fields()?;
    let prompt = service.encode_chat(chat_messages(&fields.messages)?, true)?;
    service.check_embedded(&prompt, "messages")?;
    let options = service.defaults.fill(body.fields()?);
    let requests = fields.requests(&options, prompt, &service.limits)?;
    tracing_layer::record_request("chat", &service.model_name, &requests);
    let generations = service.generate(requests)?;
    Ok(Begun { shape: ChatShape::new(service), generations, num_prompts: 1, delivery })
}

impl ChatFields {
    fn requests(
        &self,
        options: &GenerationOptions,
        prompt: Vec<u32>,
        limits: &Limits,
    ) -> Result<Vec<GenerateRequest>, ApiError> {
        let wanted = self.logprobs.unwrap_or(false);
        if self.top_logprobs.is_some_and(|top| top > 0) && !wanted {
            return Err(ApiError::invalid("top_logprobs", "top_logprobs is set, but logprobs is not true; set it"));
        }
        let top_logprobs = wanted.then(|| self.top_logprobs.unwrap_or(0));
        let max_tokens = self.max_completion_tokens.or(self.max_tokens);
        options.requests(vec![prompt], max_tokens, top_logprobs, "messages", limits)
    }
}

/// Messages as the chat template takes them.
///
/// # Errors
/// When one has content that cannot be honoured.
pub(super) fn chat_messages(messages: &[WireMessage]) -> Result<Vec<ChatMessage>, ApiError> {
    messages.iter().enumerate().map(|(index, message)| message.to_chat(index)).collect()
}

impl WireMessage {
    fn to_chat(&self, index: usize) -> Result<ChatMessage, ApiError> {
        let invalid = |message: &str| ApiError::invalid(format!("messages[{index}].content"), message);
        match &self.content {
            None => Err(invalid("content is missing; write a string or text parts")),
            Some(Content::Text(text)) => Ok(ChatMessage::new(&self.role, text)),
            Some(Content::Parts(parts)) => {
                let texts = parts.iter().map(|part| match (part.kind.as_str(), &part.text) {
                    ("text", Some(text)) => Ok(text.as_str()),
                    _ => Err(invalid("only parts of type text are supported, each with a text")),
                });
                Ok(ChatMessage::new(&self.role, texts.collect::<Result<Vec<_>, _>>()?.concat()))
            }
        }
    }
}

/// How a chat answer looks.
struct ChatShape {
    service: Arc<Service>,
    id: String,
    created: u64,
}

impl ChatShape {
    fn new(service: &Arc<Service>) -> Self {
        let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
        Self { service: service.clone(), id, created: choices::now_seconds() }
    }

    fn logprobs(&self, piece: &Piece) -> Value {
        logprobs::chat(&self.service.tokenizer, &piece.tokens)
    }

    fn chunk(&self, index: usize, delta: Value, logprobs: Value, finish: Value) -> Value {
        let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
        self.envelope("chat.completion.chunk", vec![choice])
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Value {
        let model = &self.service.model_name;
        json!({ "id": self.id, "object": object, "created": self.created, "model": model, "choices": choices })
    }
}

impl Shape for ChatShape {
    fn whole(&self, answers: &[Piece]) -> Value {
        let choice = |(index, piece): (usize, &Piece)| {
            let message = json!({ "role": "assistant", "content": piece.text, "refusal": null });
            let (logprobs, finish) = (self.logprobs(piece), choices::finish_reason(piece));
            json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish })
        };
        self.envelope("chat.completion", answers.iter().enumerate().map(choice).collect())
    }

    fn opening(&self, index: usize) -> Option<Value> {
        Some(self.chunk(index, json!({ "role": "assistant", "content": "" }), Value::Null, Value::Null))
    }

    fn piece(&mut self, index: usize, piece: &Piece) -> Vec<Value> {
        let mut chunks = Vec::new();
        if !piece.text.is_empty() || !piece.tokens.is_empty() {
            let delta = json!({ "content": piece.text });
            chunks.push(self.chunk(index, delta, self.logprobs(piece), Value::Null));
        }
        if piece.finish.is_some() {
            chunks.push(self.chunk(index, json!({}), Value::Null, choices::finish_reason(piece)));
        }
        chunks
    }

    fn without_choices(&self) -> Value {
        self.envelope("chat.completion.chunk", Vec::new())
    }
}
