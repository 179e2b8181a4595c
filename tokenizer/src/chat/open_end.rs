//! `continue_final_message`: a prompt that ends inside the last message.
//!
//! Owns where that end is. Never renders by itself.

use super::{ChatMessage, ChatTemplate, ChatTemplateError, RenderOptions};

/// Marks the end of the last message while the template renders. The space at its end shows whether the template trims.
const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// The prompt up to the end of the last message's text, as transformers cuts it.
pub(super) fn render(
    template: &ChatTemplate,
    messages: &[ChatMessage],
    options: &RenderOptions,
) -> Result<String, ChatTemplateError> {
    let refuse = |reason: &str| Err(ChatTemplateError::Options(format!("continue_final_message: {reason}")));
    let mut messages = messages.to_vec();
    let Some(last) = messages.last_mut() else { return refuse("there is no message to continue") };
    if !template.source().contains("content") {
        return refuse("the chat template does not write the content of messages");
    }
    let text = last.content.trim().to_owned();
    last.content.push_str(MARK);
    let mut prompt = template.render_messages(&messages, options)?;
    let end = prompt.rfind(MARK.trim_end()).filter(|_| prompt.contains(&text));
    let Some(end) = end else {
        return refuse("the chat template does not write the last message as it is, so its end cannot be found");
    };
    let is_trimmed = !prompt[end..].starts_with(MARK);
    prompt.truncate(end);
    if is_trimmed {
        prompt.truncate(prompt.trim_end().len());
    }
    Ok(prompt)
}
