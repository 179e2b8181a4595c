//! Chat templates, with the meaning Hugging Face gives them.
//!
//! Owns the Jinja environment: block trimming, Python's string methods and the functions templates expect. Never
//! decides what becomes of the prompt.

#[cfg(test)]
mod tests;

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};

/// Name that Jinja's messages give the template.
const TEMPLATE_NAME: &str = "chat_template";

/// Why a prompt could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChatTemplateError {
    /// The source is no valid Jinja.
    #[error("cannot compile the chat template: {0}")]
    Compile(String),
    /// The template refused the messages (`raise_exception`).
    #[error("the chat template refuses the messages: {0}")]
    Refused(String),
    /// The template failed on the messages.
    #[error("cannot render the chat template: {0}")]
    Render(String),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or another role the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl ChatMessage {
    /// A message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A compiled chat template and the special tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Compiles `source`; `bos_token` and `eos_token` are the texts of the tokens, if there are such tokens.
    pub fn new(source: &str, bos_token: Option<&str>, eos_token: Option<&str>) -> Result<Self, ChatTemplateError> {
        let environment = environment();
        environment
            .template_from_named_str(TEMPLATE_NAME, source)
            .map_err(|error| ChatTemplateError::Compile(error.to_string()))?;
        Ok(Self {
            environment,
            source: source.to_owned(),
            bos_token: bos_token.unwrap_or_default().to_owned(),
            eos_token: eos_token.unwrap_or_default().to_owned(),
        })
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `messages`. With `add_generation_prompt` it ends where the assistant's answer begins.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, ChatTemplateError> {
        let template = self
            .environment
            .template_from_named_str(TEMPLATE_NAME, &self.source)
            .map_err(|error| ChatTemplateError::Compile(error.to_string()))?;
        let context = context! {
            messages => Serde(messages),
            add_generation_prompt => add_generation_prompt,
            bos_token => &self.bos_token,
            eos_token => &self.eos_token,
        };
        template.render(context).map_err(|error| match refusal(&error) {
            Some(reason) => ChatTemplateError::Refused(reason),
            None => ChatTemplateError::Render(error.to_string()),
        })
    }
}

/// Marks an error as one that the template raised on purpose.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn refusal(error: &Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(Raised(reason)) = inner.downcast_ref::<Raised>() {
            return Some(reason.clone());
        }
        source = inner.source();
    }
    None
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "the template raised an exception").with_source(Raised(message)))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment
}

/// The local time in `format`, as Python's `strftime` writes it.
fn strftime_now(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let mut text = String::new();
    // chrono reports an unknown directive as a formatting error.
    write!(text, "{}", chrono::Local::now().format(format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: bad format `{format}`")))?;
    Ok(text)
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False, indent=indent)` writes it.
fn to_json(value: Value, options: minijinja::value::Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let bytes = match indent {
        Some(width) => {
            let spaces = " ".repeat(width);
            serialize(&value, serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes()))
        }
        None => serialize(&value, PythonFormatter),
    };
    let bytes = bytes.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

fn serialize(value: &Value, formatter: impl serde_json::ser::Formatter) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(bytes)
}

/// Python puts a space behind every comma and colon.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
