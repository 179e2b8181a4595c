//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bedplate_tokenizer::ChatMessage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{JsonBody, RawBody},
    choices::{self, Begun, Shape},
    logprobs::{self, Names},
    options::{Delivery, TokenIds},
    template::TemplateFields,
    tracing_layer,
};
use crate::{
    error::ApiError,
    generation::Piece,
    request::{AnswerLength, Asked, GenerateRequest},
    request_fields::Endpoint,
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
    name: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
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
    let delivery = Delivery::of(body, Endpoint::Chat)?;
    service.check_model(delivery.model.as_deref())?;
    let fields: ChatFields = body.fields()?;
    let template = body.fields::<TemplateFields>()?.options()?;
    let prompt = service.encode_chat(chat_messages(&fields.messages)?, &template)?;
    service.check_embedded(&prompt, "messages")?;
    let requests = service.requests(body.fields()?, fields.asked(prompt)?)?;
    tracing_layer::record_request("chat", &service.model_name, &requests);
    let shape = ChatShape::new(service, &delivery, &requests);
    Ok(Begun { shape, generations: service.generate(requests)?, num_prompts: 1, delivery })
}

impl ChatFields {
    fn asked(&self, prompt: Vec<u32>) -> Result<Asked, ApiError> {
        let wanted = self.logprobs.unwrap_or(false);
        if self.top_logprobs.is_some_and(|top| top > 0) && !wanted {
            return Err(ApiError::invalid("top_logprobs", "top_logprobs is set, but logprobs is not true; set it"));
        }
        Ok(Asked {
            prompts: vec![prompt],
            prompt_param: "messages",
            length: AnswerLength { asked: self.max_completion_tokens.or(self.max_tokens), default: None },
            top_logprobs: wanted.then(|| self.top_logprobs.unwrap_or(0)),
        })
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
        let mut message = ChatMessage::new(&self.role, self.text(index)?);
        // Some templates ask for the older name of what was thought, some for the newer.
        let thought = self.reasoning.as_ref().or(self.reasoning_content.as_ref());
        let fields = [("name", self.name.as_ref()), ("reasoning", thought), ("reasoning_content", thought)];
        message.fields =
            fields.into_iter().filter_map(|(name, text)| Some((name.into(), text?.clone().into()))).collect();
        Ok(message)
    }

    fn text(&self, index: usize) -> Result<String, ApiError> {
        let invalid = |message: &str| ApiError::invalid(format!("messages[{index}].content"), message);
        match &self.content {
            None => Err(invalid("content is missing; write a string or text parts")),
            Some(Content::Text(text)) => Ok(text.clone()),
            Some(Content::Parts(parts)) => {
                let texts = parts.iter().map(|part| match (part.kind.as_str(), &part.text) {
                    ("text", Some(text)) => Ok(text.as_str()),
                    _ => Err(invalid("only parts of type text are supported, each with a text")),
                });
                // Parts are paragraphs: vLLM and llama.cpp put a line end between them, too.
                Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
            }
        }
    }
}

/// How a chat answer looks.
struct ChatShape {
    service: Arc<Service>,
    names: Names,
    token_ids: TokenIds,
    id: String,
    created: u64,
}

impl ChatShape {
    fn new(service: &Arc<Service>, delivery: &Delivery, requests: &[GenerateRequest]) -> Self {
        let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
        let names = Names::new(service.tokenizer.clone(), delivery.names_ids);
        let token_ids = delivery.token_ids(requests);
        Self { service: service.clone(), names, token_ids, id, created: choices::now_seconds() }
    }

    fn logprobs(&self, piece: &Piece) -> Value {
        logprobs::chat(&self.names, &piece.tokens)
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
    fn whole(&mut self, answers: &[Piece]) -> Value {
        let choice = |(index, piece): (usize, &Piece)| {
            let message = json!({ "role": "assistant", "content": piece.text, "refusal": null });
            let (logprobs, finish) = (self.logprobs(piece), choices::finish_reason(piece));
            let mut choice =
                json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish });
            self.token_ids.note(piece, &mut choice);
            choice
        };
        let mut body = self.envelope("chat.completion", answers.iter().enumerate().map(choice).collect());
        self.token_ids.note_prompt(0, &mut body);
        body
    }

    fn opening(&self, index: usize, _count: usize) -> Option<Value> {
        let mut chunk = self.chunk(index, json!({ "role": "assistant", "content": "" }), Value::Null, Value::Null);
        if index == 0 {
            self.token_ids.note_prompt(0, &mut chunk);
        }
        Some(chunk)
    }

    fn piece(&mut self, index: usize, piece: &Piece) -> Vec<Value> {
        let mut chunks = Vec::new();
        if !piece.text.is_empty() || !piece.tokens.is_empty() || piece.ended_by.is_some() {
            let delta = json!({ "content": piece.text });
            let mut chunk = self.chunk(index, delta, self.logprobs(piece), Value::Null);
            self.token_ids.note(piece, &mut chunk["choices"][0]);
            chunks.push(chunk);
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
