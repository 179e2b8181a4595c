//! Fields of a request that shape the prompt of a conversation, for `/v1/chat/completions` and `/tokenize` alike.

use bedplate_tokenizer::RenderOptions;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{error::ApiError, service::ChatOptions};

/// How the conversation becomes a prompt, in vLLM's names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateFields {
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
    add_special_tokens: Option<bool>,
    chat_template: Option<String>,
    chat_template_kwargs: Option<Map<String, Value>>,
    documents: Option<Vec<Map<String, Value>>>,
    reasoning_effort: Option<String>,
}

impl TemplateFields {
    /// The options they stand for.
    ///
    /// # Errors
    /// When two of them contradict each other.
    pub fn options(self) -> Result<ChatOptions, ApiError> {
        let continue_final_message = self.continue_final_message.unwrap_or(false);
        if continue_final_message && self.add_generation_prompt == Some(true) {
            let message = "continue_final_message and add_generation_prompt contradict each other; set one to false";
            return Err(ApiError::invalid("continue_final_message", message));
        }
        let variables = variables(self.chat_template_kwargs.unwrap_or_default(), self.reasoning_effort);
        let documents: Option<Vec<Value>> =
            self.documents.map(|documents| documents.into_iter().map(Value::Object).collect());
        Ok(ChatOptions {
            template: self.chat_template.filter(|template| !template.is_empty()),
            add_special_tokens: self.add_special_tokens.unwrap_or(false),
            render: RenderOptions {
                add_generation_prompt: self.add_generation_prompt.unwrap_or(!continue_final_message),
                continue_final_message,
                documents: documents.filter(|documents| !documents.is_empty()),
                variables,
                ..RenderOptions::default()
            },
        })
    }
}

/// What the template sees besides: the client's own variables and the effort it asks for. As in vLLM, an effort also says
/// whether to think, which is what the templates of most models ask.
fn variables(mut variables: Map<String, Value>, reasoning_effort: Option<String>) -> Map<String, Value> {
    if let Some(effort) = reasoning_effort {
        variables.entry("enable_thinking").or_insert_with(|| (effort != "none").into());
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    variables
}
