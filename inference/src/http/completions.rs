//! `POST /v1/completions`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{JsonBody, RawBody},
    choices::{self, Begun, Shape},
    logprobs::{CompletionLogprobs, Names, Offsets},
    options::{Delivery, TokenIds},
    tracing_layer,
};
use crate::{
    error::ApiError,
    generation::Piece,
    request::{AnswerLength, Asked, GenerateRequest},
    request_fields::Endpoint,
    service::Service,
};

/// Tokens of an answer where the client names no number; OpenAI's own default.
const DEFAULT_MAX_TOKENS: u64 = 16;

/// Fields of a completion request that no other request has.
#[derive(Debug, Deserialize)]
struct CompletionFields {
    prompt: Prompt,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    logprobs: Option<u64>,
    echo: Option<bool>,
    add_special_tokens: Option<bool>,
    truncate_prompt_tokens: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, an array of strings, an array of token ids or an array of such arrays"
)]
enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

pub async fn create(State(service): State<Arc<Service>>, body: RawBody) -> Result<Response, ApiError> {
    let begun = body.then({
        let service = service.clone();
        move |body| begin(&service, body)
    });
    choices::respond(begun.await?, &service.intake).await
}

/// Checks the request and hands it to the engine.
fn begin(service: &Arc<Service>, body: &JsonBody) -> Result<Begun<CompletionShape>, ApiError> {
    let delivery = Delivery::of(body, Endpoint::Completions)?;
    service.check_model(delivery.model.as_deref())?;
    let fields: CompletionFields = body.fields()?;
    fields.refuse_echoed_logprobs()?;
    let prompts = fields.prompt.tokens(fields.add_special_tokens.unwrap_or(true), service)?;
    prompts.iter().try_for_each(|prompt| service.check_embedded(prompt, "prompt"))?;
    let num_prompts = prompts.len();
    let requests = service.requests(body.fields()?, fields.asked(prompts))?;
    tracing_layer::record_request("text_completion", &service.model_name, &requests);
    let shape = CompletionShape::new(service, &delivery, &requests, fields.echoes(&requests, service));
    Ok(Begun { shape, generations: service.generate(requests)?, num_prompts, delivery })
}

impl CompletionFields {
    fn refuse_echoed_logprobs(&self) -> Result<(), ApiError> {
        if self.echo == Some(true) && self.logprobs.is_some() {
            let message = "echo together with logprobs is not supported, since the prompt has no log-probabilities; \
                           leave one of them out";
            return Err(ApiError::invalid("echo", message));
        }
        Ok(())
    }

    fn asked(&self, prompts: Vec<Vec<u32>>) -> Asked {
        Asked {
            prompts,
            prompt_param: "prompt",
            length: AnswerLength {
                asked: self.max_completion_tokens.or(self.max_tokens),
                default: Some(DEFAULT_MAX_TOKENS),
            },
            top_logprobs: self.logprobs,
        }
    }

    /// What each answer begins with: the text of its prompt, or of what is left of it, where the client wants it back.
    fn echoes(&self, requests: &[GenerateRequest], service: &Service) -> Vec<String> {
        if self.echo != Some(true) {
            return Vec::new();
        }
        let texts = match (&self.prompt, self.truncate_prompt_tokens) {
            (Prompt::Text(text), None) => std::slice::from_ref(text),
            (Prompt::Texts(texts), None) => texts,
            _ => &[],
        };
        let copies = requests.len() / texts.len().max(1);
        let decoded = |request: &GenerateRequest| service.tokenizer.decode(&request.prompt, false);
        let echo = |(index, request)| texts.get(index / copies).cloned().unwrap_or_else(|| decoded(request));
        requests.iter().enumerate().map(echo).collect()
    }
}

impl Prompt {
    fn tokens(&self, add_special_tokens: bool, service: &Service) -> Result<Vec<Vec<u32>>, ApiError> {
        let encode = |text: &String| match add_special_tokens {
            true => service.encode_prompt(text, "prompt"),
            false => service.encode(text, "prompt"),
        };
        let prompts = match self {
            Self::Text(text) => vec![encode(text)?],
            Self::Texts(texts) => texts.iter().map(encode).collect::<Result<_, _>>()?,
            Self::Tokens(tokens) => vec![tokens.clone()],
            Self::TokenLists(lists) => lists.clone(),
        };
        match prompts.iter().all(Vec::is_empty) {
            true => Err(ApiError::invalid("prompt", "prompt is empty; write at least one token")),
            false => Ok(prompts),
        }
    }
}

/// How a completion looks.
struct CompletionShape {
    service: Arc<Service>,
    names: Names,
    token_ids: TokenIds,
    id: String,
    created: u64,
    echoes: Vec<String>,
    /// How far the text of each answer has come.
    offsets: Vec<Offsets>,
}

impl CompletionShape {
    fn new(service: &Arc<Service>, delivery: &Delivery, requests: &[GenerateRequest], echoes: Vec<String>) -> Self {
        let offsets = |request: &GenerateRequest| {
            Offsets::new(service.tokenizer.clone(), &request.prompt, !request.text.keep_special_tokens)
        };
        Self {
            names: Names::new(service.tokenizer.clone(), delivery.names_ids),
            token_ids: delivery.token_ids(requests),
            id: format!("cmpl-{}", uuid::Uuid::new_v4().simple()),
            created: choices::now_seconds(),
            echoes,
            offsets: requests.iter().map(offsets).collect(),
            service: service.clone(),
        }
    }

    fn choice(&mut self, index: usize, text: &str, piece: &Piece) -> Value {
        let logprobs = CompletionLogprobs::of(&self.names, &piece.tokens, &mut self.offsets[index]);
        let finish = choices::finish_reason(piece);
        let mut choice = json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish });
        self.token_ids.note(piece, &mut choice);
        choice
    }

    fn envelope(&self, choices: Vec<Value>) -> Value {
        let model = &self.service.model_name;
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": model, "choices": choices
        })
    }
}

impl Shape for CompletionShape {
    fn whole(&mut self, answers: &[Piece]) -> Value {
        let mut choices = Vec::with_capacity(answers.len());
        for (index, piece) in answers.iter().enumerate() {
            let text = format!("{}{}", self.echoes.get(index).map_or("", String::as_str), piece.text);
            let mut choice = self.choice(index, &text, piece);
            self.token_ids.note_prompt(index, &mut choice);
            choices.push(choice);
        }
        self.envelope(choices)
    }

    fn opening(&self, index: usize, count: usize) -> Option<Value> {
        let echo = self.echoes.get(index);
        if echo.is_none() && !self.token_ids.are_wanted() && (index > 0 || count == 1) {
            return None;
        }
        let text = echo.map_or("", String::as_str);
        let mut choice = json!({ "index": index, "text": text, "logprobs": null, "finish_reason": null });
        self.token_ids.note_prompt(index, &mut choice);
        Some(self.envelope(vec![choice]))
    }

    fn piece(&mut self, index: usize, piece: &Piece) -> Vec<Value> {
        let choice = self.choice(index, &piece.text, piece);
        vec![self.envelope(vec![choice])]
    }

    fn without_choices(&self) -> Value {
        self.envelope(Vec::new())
    }
}
