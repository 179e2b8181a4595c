//! `POST /v1/completions`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{JsonBody, RawBody},
    choices::{self, Begun, Shape},
    logprobs::CompletionLogprobs,
    options::{self, Delivery},
    tracing_layer,
};
use crate::{error::ApiError, generation::Piece, service::Service};

/// Tokens of an answer where the client names no number; OpenAI's own default.
const DEFAULT_MAX_TOKENS: u64 = 16;

/// Fields of a completion request that no other request has.
#[derive(Debug, Deserialize)]
struct CompletionFields {
    prompt: Prompt,
    max_tokens: Option<u64>,
    logprobs: Option<u64>,
    echo: Option<bool>,
    suffix: Option<String>,
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
    let delivery = Delivery::of(body)?;
    service.check_model(delivery.model.as_deref())?;
    options::refuse_unsupported(body)?;
    let fields: CompletionFields = body.fields()?;
    fields.refuse_unsupported()?;
    let options = service.defaults.fill(body.fields()?);
    let prompts = fields.prompt.tokens(service)?;
    prompts.iter().try_for_each(|prompt| service.check_embedded(prompt, "prompt"))?;
    let num_prompts = prompts.len();
    let echoes = fields.echoes(&prompts, options.n, service);
    let max_tokens = Some(fields.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS));
    let max_tokens = max_tokens.map(|asked| fields.shortened(asked, &prompts, service));
    let requests = options.requests(prompts, max_tokens, fields.logprobs, "prompt", &service.limits)?;
    tracing_layer::record_request("text_completion", &service.model_name, &requests);
    let generations = service.generate(requests)?;
    Ok(Begun { shape: CompletionShape::new(service, echoes), generations, num_prompts, delivery })
}

impl CompletionFields {
    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        if self.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
            return Err(ApiError::invalid("suffix", "filling in before a suffix is not supported; leave suffix out"));
        }
        if self.echo == Some(true) && self.logprobs.is_some() {
            let message = "echo together with logprobs is not supported, since the prompt has no log-probabilities; \
                           leave one of them out";
            return Err(ApiError::invalid("echo", message));
        }
        Ok(())
    }

    /// The default length, cut to what the context leaves; a length that was asked for is left to be checked.
    fn shortened(&self, asked: u64, prompts: &[Vec<u32>], service: &Service) -> u64 {
        if self.max_tokens.is_some() {
            return asked;
        }
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        asked.min(service.limits.max_model_len.saturating_sub(longest).max(1) as u64)
    }

    /// What each answer begins with: its prompt's text where the client wants it back.
    fn echoes(&self, prompts: &[Vec<u32>], n: Option<u64>, service: &Service) -> Vec<String> {
        if self.echo != Some(true) {
            return Vec::new();
        }
        let texts: Vec<String> = match &self.prompt {
            Prompt::Text(text) => vec![text.clone()],
            Prompt::Texts(texts) => texts.clone(),
            Prompt::Tokens(_) | Prompt::TokenLists(_) => {
                prompts.iter().map(|tokens| service.tokenizer.decode(tokens, false)).collect()
            }
        };
        let copies = n.unwrap_or(1) as usize;
        texts.into_iter().flat_map(|text| std::iter::repeat_n(text, copies)).collect()
    }
}

impl Prompt {
    fn tokens(&self, service: &Service) -> Result<Vec<Vec<u32>>, ApiError> {
        let prompts = match self {
            Self::Text(text) => vec![service.encode_prompt(text, "prompt")?],
            Self::Texts(texts) => {
                texts.iter().map(|text| service.encode_prompt(text, "prompt")).collect::<Result<_, _>>()?
            }
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
    id: String,
    created: u64,
    echoes: Vec<String>,
    /// Characters that each answer has so far.
    offsets: Vec<usize>,
}

impl CompletionShape {
    fn new(service: &Arc<Service>, echoes: Vec<String>) -> Self {
        let id = format!("cmpl-{}", uuid::Uuid::new_v4().simple());
        let created = choices::now_seconds();
        Self { service: service.clone(), id, created, echoes, offsets: Vec::new() }
    }

    fn choice(&self, index: usize, text: &str, piece: &Piece, offset: usize) -> Value {
        let logprobs = CompletionLogprobs::of(&self.service.tokenizer, &piece.tokens, offset);
        let finish = choices::finish_reason(piece);
        json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish })
    }

    fn envelope(&self, choices: Vec<Value>) -> Value {
        let model = &self.service.model_name;
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": model, "choices": choices
        })
    }
}

impl Shape for CompletionShape {
    fn whole(&self, answers: &[Piece]) -> Value {
        let choice = |(index, piece): (usize, &Piece)| {
            let echo = self.echoes.get(index).map_or("", String::as_str);
            self.choice(index, &format!("{echo}{}", piece.text), piece, 0)
        };
        self.envelope(answers.iter().enumerate().map(choice).collect())
    }

    fn opening(&self, index: usize) -> Option<Value> {
        let echo = self.echoes.get(index)?;
        Some(self.envelope(vec![self.choice(index, echo, &Piece::default(), 0)]))
    }

    fn piece(&mut self, index: usize, piece: &Piece) -> Vec<Value> {
        if self.offsets.len() <= index {
            self.offsets.resize(index + 1, 0);
        }
        let choice = self.choice(index, &piece.text, piece, self.offsets[index]);
        self.offsets[index] += CompletionLogprobs::characters(&self.service.tokenizer, &piece.tokens);
        vec![self.envelope(vec![choice])]
    }

    fn without_choices(&self) -> Value {
        self.envelope(Vec::new())
    }
}
