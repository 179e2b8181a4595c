//! What HTTP and gRPC have in common: prompts into tokens, checked requests into answers.
//!
//! Owns the one path that a request takes to the engine. Knows neither wire.

use std::sync::Arc;

use bedplate_tokenizer::{ChatMessage, RenderOptions, Tokenizer};
use tokio_util::sync::CancellationToken;

use crate::{
    defaults::SamplingDefaults,
    engine_thread::EngineHandle,
    error::ApiError,
    generation::Generation,
    intake::{Intake, Reservation},
    metrics::{Metrics, Rejection, RequestTimes},
    prompt_limit::PromptLimit,
    request::{GenerateRequest, Limits},
};

/// Roles that a message may have. `developer` is OpenAI's newer name of `system`, which is what templates know.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];

/// A served model and the way to it. Shared by every request.
#[derive(Debug)]
pub struct Service {
    /// Name the endpoint answers to.
    pub model_name: String,
    /// Seconds since the Unix epoch when serving began.
    pub created: u64,
    /// Its vocabulary and chat template.
    pub tokenizer: Arc<Tokenizer>,
    /// Sizes requests are checked against.
    pub limits: Limits,
    /// What holds for a request that says nothing of sampling.
    pub defaults: SamplingDefaults,
    /// How long a text may be.
    pub prompt_limit: PromptLimit,
    /// Where requests are parsed and tokenised.
    pub intake: Intake,
    /// The way to the engine.
    pub engine: EngineHandle,
    /// Cancelled where the process ends before the answers do; each then ends with an error.
    pub cut_off: CancellationToken,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
}

impl Service {
    /// Refuses requests for another model. An absent name means the one that is served.
    ///
    /// # Errors
    /// When the name is another.
    pub fn check_model(&self, asked: Option<&str>) -> Result<(), ApiError> {
        match asked {
            Some(asked) if asked != self.model_name => {
                Err(ApiError::UnknownModel { asked: asked.to_owned(), served: self.model_name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Tokens of a plain prompt, with those around it that its tokenizer adds, usually one that begins a text.
    ///
    /// # Errors
    /// When the text cannot be tokenised, or is longer than any text that fits the context.
    pub fn encode_prompt(&self, text: &str, param: &'static str) -> Result<Vec<u32>, ApiError> {
        self.prompt_limit.check(text, param)?;
        let tokens = self.tokenizer.encode_with_special(text, true);
        tokens.map_err(|error| ApiError::invalid(param, error.to_string()))
    }

    /// Tokens of a text as it is; the texts of special tokens become those tokens.
    ///
    /// # Errors
    /// When the text cannot be tokenised, or is longer than any text that fits the context.
    pub fn encode(&self, text: &str, param: &'static str) -> Result<Vec<u32>, ApiError> {
        self.prompt_limit.check(text, param)?;
        self.tokenizer.encode(text, true).map_err(|error| ApiError::invalid(param, error.to_string()))
    }

    /// Tokens of a conversation, as the model's chat template writes it.
    ///
    /// # Errors
    /// When there are no messages, a role is not known, the model has no template or the template refuses them.
    pub fn encode_chat(&self, messages: Vec<ChatMessage>, add_generation_prompt: bool) -> Result<Vec<u32>, ApiError> {
        let messages = known_roles(messages)?;
        let options = RenderOptions { add_generation_prompt, ..RenderOptions::default() };
        let rendered = self.tokenizer.chat_template(None).and_then(|template| template.render(&messages, &options));
        let text = rendered.map_err(|error| ApiError::invalid("messages", error.to_string()))?;
        self.encode(&text, "messages")
    }

    /// Refuses tokens that the model has no embedding for: tokenizers of fine-tuned models often know a few more.
    ///
    /// # Errors
    /// Names the first such token.
    pub fn check_embedded(&self, tokens: &[u32], param: &'static str) -> Result<(), ApiError> {
        let vocab_size = self.limits.vocab_size;
        let Some(&id) = tokens.iter().find(|id| **id as usize >= vocab_size) else { return Ok(()) };
        let written = self.tokenizer.token_text(id).map_or_else(String::new, |text| format!(" (`{text}`)"));
        let message = format!(
            "{param} has the token {id}{written}, but the model has embeddings for {vocab_size} tokens, 0 to {}; leave \
             it out",
            vocab_size.saturating_sub(1)
        );
        Err(ApiError::invalid(param, message))
    }

    /// Room for a request of `bytes`, where its length is known.
    ///
    /// # Errors
    /// When there is none now.
    pub fn reserve(&self, bytes: Option<usize>) -> Result<Reservation, ApiError> {
        self.intake.reserve(bytes).inspect_err(|_| self.metrics.rejected(Rejection::RequestBytes))
    }

    /// Starts an answer to each request: all of them or, where the queue has no room, none.
    ///
    /// # Errors
    /// When the queue is full or the engine is gone.
    pub fn generate(&self, requests: Vec<GenerateRequest>) -> Result<Vec<Generation>, ApiError> {
        requests.into_iter().map(|request| self.generate_one(request)).collect()
    }

    fn generate_one(&self, request: GenerateRequest) -> Result<Generation, ApiError> {
        let (prompt_tokens, stop) = (request.prompt.len(), request.stop.clone());
        let tokens = self.engine.submit(request).inspect_err(|error| {
            if matches!(error, ApiError::QueueFull { .. }) {
                self.metrics.rejected(Rejection::QueueFull);
            }
        })?;
        let times = RequestTimes::start(self.metrics.clone(), prompt_tokens);
        let cut_off = self.cut_off.clone();
        Ok(Generation::new(tokens, self.tokenizer.clone(), stop, prompt_tokens, times, cut_off))
    }
}

fn known_roles(mut messages: Vec<ChatMessage>) -> Result<Vec<ChatMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty; write at least one message"));
    }
    for (index, message) in messages.iter_mut().enumerate() {
        if !ROLES.contains(&message.role.as_str()) {
            let text = format!("the role `{}` is not supported; use system, user or assistant", message.role);
            return Err(ApiError::invalid(format!("messages[{index}].role"), text));
        }
        if message.role == "developer" {
            message.role = "system".to_owned();
        }
    }
    Ok(messages)
}
