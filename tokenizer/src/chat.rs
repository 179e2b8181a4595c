//! Chat templates, with the meaning Hugging Face gives them.
//!
//! Owns what a rendering is given and how its end is left open. Never decides what becomes of the prompt.

mod environment;
mod json;
mod methods;
mod open_end;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use minijinja::{
    Environment,
    value::{Serde, Value},
};
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// Name that Jinja's messages give the template.
const TEMPLATE_NAME: &str = "chat_template";

/// Why a prompt could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatTemplateError {
    /// There is no template.
    #[error("the model has no chat template; use completions")]
    Missing,
    /// The source is no valid Jinja.
    #[error("cannot compile the chat template: {0}; send another chat_template, or use completions")]
    Compile(String),
    /// The template refused the messages (`raise_exception`).
    #[error("the chat template refuses the messages: {0}")]
    Refused(String),
    /// The template failed on the messages.
    #[error("cannot render the chat template: {0}")]
    Render(String),
    /// The options contradict each other, the messages or the template.
    #[error("{0}")]
    Options(String),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or another role the template knows.
    pub role: String,
    /// The text.
    pub content: String,
    /// Whatever else templates look at: `name`, `reasoning_content`, `tool_calls`. Nulls count as absent.
    #[serde(flatten)]
    pub fields: Map<String, serde_json::Value>,
}

impl ChatMessage {
    /// A message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), fields: Map::new() }
    }
}

/// What a rendering is asked for, in the words of transformers' `apply_chat_template`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RenderOptions {
    /// The prompt ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The prompt ends with the last message's text, so that the model goes on with it. Not together with
    /// `add_generation_prompt`.
    pub continue_final_message: bool,
    /// Schemas of the tools that may be called; the template sees `none` where there are none.
    pub tools: Option<Vec<serde_json::Value>>,
    /// Objects with `title` and `text` that the answer may rest on; the template sees `none` where there are none.
    pub documents: Option<Vec<serde_json::Value>>,
    /// Further variables (`chat_template_kwargs`), which win over the special tokens' names.
    pub variables: Map<String, serde_json::Value>,
}

impl RenderOptions {
    /// For a prompt that the assistant answers.
    pub fn for_answer() -> Self {
        Self { add_generation_prompt: true, ..Self::default() }
    }
}

/// A compiled chat template and the special tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    rewritten: String,
    special_tokens: SpecialTokens,
    wants_parts: bool,
}

/// Names and texts of the tokens that a template may write: `bos_token`, `eos_token`, `pad_token`.
pub type SpecialTokens = BTreeMap<String, String>;

impl ChatTemplate {
    /// Compiles `source`, in which the names of `special_tokens` are known.
    ///
    /// # Errors
    /// When it is no valid Jinja.
    pub fn new(source: &str, special_tokens: SpecialTokens) -> Result<Self, ChatTemplateError> {
        let compile = |reason: String| ChatTemplateError::Compile(reason);
        let rewritten = rewrite::rewrite(source);
        let environment = environment::environment();
        environment
            .template_from_named_str(TEMPLATE_NAME, &rewritten)
            .map_err(|error| compile(environment::reason(&error)))?;
        let mut template =
            Self { environment, source: source.to_owned(), rewritten, special_tokens, wants_parts: false };
        template.wants_parts = template.finds_text_in_parts_only();
        Ok(template)
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `messages`.
    ///
    /// # Errors
    /// When the template refuses them or fails, or the options do not fit together.
    pub fn render(&self, messages: &[ChatMessage], options: &RenderOptions) -> Result<String, ChatTemplateError> {
        if !options.continue_final_message {
            return self.render_messages(messages, options);
        }
        if options.add_generation_prompt {
            let reason = "continue_final_message and add_generation_prompt contradict each other; set one to false";
            return Err(ChatTemplateError::Options(reason.to_owned()));
        }
        open_end::render(self, messages, options)
    }

    fn render_messages(&self, messages: &[ChatMessage], options: &RenderOptions) -> Result<String, ChatTemplateError> {
        let template = self
            .environment
            .template_from_named_str(TEMPLATE_NAME, &self.rewritten)
            .map_err(|error| ChatTemplateError::Compile(environment::reason(&error)))?;
        let messages: Vec<Value> = messages.iter().map(|message| self.message(message)).collect();
        // An absent special token is undefined, absent tools and documents are none: so it is in transformers.
        let mut context: BTreeMap<&str, Value> =
            self.special_tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text))).collect();
        for (name, value) in &options.variables {
            context.insert(name, Value::from(Serde(value)));
        }
        context.insert("messages", Value::from(messages));
        context.insert("tools", Value::from(Serde(&options.tools)));
        context.insert("documents", Value::from(Serde(&options.documents)));
        context.insert("add_generation_prompt", Value::from(options.add_generation_prompt));
        template.render(Value::from_pairs(context)).map_err(|error| match environment::refusal(&error) {
            Some(reason) => ChatTemplateError::Refused(reason),
            None => ChatTemplateError::Render(environment::reason(&error)),
        })
    }

    /// A message as the template sees it.
    fn message(&self, message: &ChatMessage) -> Value {
        let mut object = Map::new();
        object.insert("role".to_owned(), message.role.clone().into());
        let text = &message.content;
        let content =
            if self.wants_parts { serde_json::json!([{"type": "text", "text": text}]) } else { text.clone().into() };
        object.insert("content".to_owned(), content);
        let fields = message.fields.iter().filter(|(_, value)| !value.is_null());
        object.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        Value::from(Serde(object))
    }

    /// Whether a text given as a string gets lost and one given as a list of parts does not: such templates loop over
    /// the parts of every message.
    fn finds_text_in_parts_only(&mut self) -> bool {
        const PROBE: &str = "text-of-a-message";
        let mut shows_text = |as_parts: bool| {
            self.wants_parts = as_parts;
            let rendered = self.render_messages(&[ChatMessage::new("user", PROBE)], &RenderOptions::for_answer());
            rendered.is_ok_and(|text| text.contains(PROBE))
        };
        !shows_text(false) && shows_text(true)
    }
}
