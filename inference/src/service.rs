//! What HTTP and gRPC have in common: prompts into tokens, checked requests into answers.
//!
//! Owns the one path that a request takes to the engine. Knows neither wire.

use std::sync::Arc;

use bedplate_tokenizer::{ChatMessage, ChatTemplateError, DecodeStream, RenderOptions, Tokenizer};
use tokio_util::sync::CancellationToken;

use crate::{
    defaults::SamplingDefaults,
    engine_thread::EngineHandle,
    error::ApiError,
    generation::Generation,
    intake::{Intake, Reservation},
    metrics::{Metrics, Rejection, RequestTimes},
    prompt_limit::PromptLimit,
    request::{Asked, GenerateRequest, GenerationOptions, Limits, TokenRules},
    request_fields::NO_TOOLS,
};

/// Roles that a message may have. `developer` is OpenAI's newer name of `system`, which is what templates know.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];

/// Roles of a tool's answer, the newer and the older.
const TOOL_ROLES: [&str; 2] = ["tool", "function"];

/// How a conversation becomes a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    /// Another template than the model's own: its name, or its source.
    pub template: Option<String>,
    /// What the template is asked for.
    pub render: RenderOptions,
    /// Whether the tokens around a plain prompt stand around the template's text, too.
    pub add_special_tokens: bool,
}

impl ChatOptions {
    /// For a prompt that the assistant answers.
    pub fn for_answer() -> Self {
        Self { render: RenderOptions::for_answer(), ..Self::default() }
    }
}

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

    /// Tokens of a conversation, as the chat template writes it.
    ///
    /// # Errors
    /// When there are no messages, a role is not known, there is no such template or it refuses them.
    pub fn encode_chat(&self, messages: Vec<ChatMessage>, options: &ChatOptions) -> Result<Vec<u32>, ApiError> {
        let messages = known_roles(messages)?;
        let template = self.tokenizer.chat_template(options.template.as_deref());
        let text = template.and_then(|template| template.render(&messages, &options.render)).map_err(|error| {
            let is_own = matches!(error, ChatTemplateError::Compile(_)) && options.template.is_some();
            ApiError::invalid(if is_own { "chat_template" } else { "messages" }, error.to_string())
        })?;
        match options.add_special_tokens {
            true => self.encode_prompt(&text, "messages"),
            false => self.encode(&text, "messages"),
        }
    }

    /// The checked requests for what a client asks for, with the model's own settings where it has none.
    ///
    /// # Errors
    /// Names the first field that cannot be honoured.
    pub fn requests(&self, options: GenerationOptions, asked: Asked) -> Result<Vec<GenerateRequest>, ApiError> {
        let options = self.defaults.fill(options);
        let rules = TokenRules {
            eos_token_ids: self.tokenizer.eos_token_ids().to_vec(),
            bad_words: self.bad_words(options.bad_words.as_deref().unwrap_or_default())?,
        };
        options.requests(asked, &rules, &self.limits)
    }

    /// The tokens of each word as it begins a text and, where that is another token, as it follows a blank: vLLM's rule.
    fn bad_words(&self, words: &[String]) -> Result<Vec<Vec<u32>>, ApiError> {
        let mut all: Vec<Vec<u32>> = Vec::with_capacity(2 * words.len());
        for word in words {
            let word = word.trim_start();
            if word.is_empty() {
                return Err(ApiError::invalid("bad_words", "bad_words has an empty word; remove it"));
            }
            let plain = self.encode(word, "bad_words")?;
            let after_blank = self.encode(&format!(" {word}"), "bad_words")?;
            let differs = after_blank.first() != plain.first() && after_blank.len() == plain.len();
            all.extend([plain].into_iter().chain(differs.then_some(after_blank)).filter(|tokens| !tokens.is_empty()));
        }
        Ok(all)
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
        let (prompt_tokens, text) = (request.prompt.len(), request.text.clone());
        let decode = DecodeStream::after(self.tokenizer.clone(), &request.prompt, !text.keep_special_tokens);
        let tokens = self.engine.submit(request).inspect_err(|error| {
            if matches!(error, ApiError::QueueFull { .. }) {
                self.metrics.rejected(Rejection::QueueFull);
            }
        })?;
        let times = RequestTimes::start(self.metrics.clone(), prompt_tokens);
        let cut_off = self.cut_off.clone();
        Ok(Generation::new(tokens, decode, text, prompt_tokens, times, cut_off))
    }
}

fn known_roles(mut messages: Vec<ChatMessage>) -> Result<Vec<ChatMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty; write at least one message"));
    }
    for (index, message) in messages.iter_mut().enumerate() {
        if TOOL_ROLES.contains(&message.role.as_str()) {
            return Err(ApiError::invalid(format!("messages[{index}].role"), NO_TOOLS));
        }
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
