//! Everything a client can be told has gone wrong, once for HTTP and gRPC.
//!
//! Owns the words and their kind. How a kind looks on the wire is written in `http/error.rs` and `grpc.rs`, once each.

/// Seconds a client is asked to wait before it tries again where the queue is full: a few answers' time, and far below
/// what clients give up after.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// A request that gets no answer, or only a part of one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// A field is missing, has the wrong type, is out of range or asks for what is not there.
    #[error("{message}")]
    Invalid {
        /// The field, where it is known.
        param: Option<String>,
        /// One sentence with the remedy.
        message: String,
    },
    /// Prompt and answer do not fit the context.
    #[error("{}", context_length(*max_model_len, *prompt_tokens, *max_tokens))]
    ContextLength {
        /// What the prompt is called on this wire.
        param: &'static str,
        /// Longest prompt plus answer.
        max_model_len: usize,
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens asked for, if any number was.
        max_tokens: Option<u64>,
    },
    /// Another model is asked for than the one that is served.
    #[error("the model `{asked}` does not exist; this endpoint serves `{served}`")]
    UnknownModel {
        /// What was asked for.
        asked: String,
        /// What there is.
        served: String,
    },
    /// No such path.
    #[error("there is no {method} {path} here")]
    UnknownPath {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// The path does not know the method.
    #[error("{path} does not answer {method}")]
    WrongMethod {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// The body is larger than is read.
    #[error("the body is larger than {limit_bytes} bytes")]
    BodyTooLarge {
        /// Most bytes that are read.
        limit_bytes: usize,
    },
    /// The body stopped arriving.
    #[error("the body did not arrive within {seconds} seconds")]
    BodyTooSlow {
        /// How long was waited.
        seconds: u64,
    },
    /// As many requests wait as may.
    #[error("the queue is full: {max_queue_len} requests wait already; try again in {RETRY_AFTER_SECONDS} s")]
    QueueFull {
        /// Requests that may wait.
        max_queue_len: usize,
    },
    /// The engine has panicked; a new process is needed.
    #[error("the engine has failed; the request cannot be answered by this replica")]
    EngineFailed,
}

impl ApiError {
    /// A field that cannot be honoured.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { param: Some(param.into()), message: message.into() }
    }

    /// The field that is at fault, where one is.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::ContextLength { param, .. } => Some(param),
            Self::UnknownModel { .. } => Some("model"),
            Self::UnknownPath { .. }
            | Self::WrongMethod { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::QueueFull { .. }
            | Self::EngineFailed => None,
        }
    }
}

fn context_length(max_model_len: usize, prompt_tokens: usize, max_tokens: Option<u64>) -> String {
    match max_tokens {
        Some(asked) if prompt_tokens < max_model_len => format!(
            "the context is {max_model_len} tokens, but the prompt has {prompt_tokens} and {asked} more are asked for; \
             ask for at most {} or shorten the prompt",
            max_model_len - prompt_tokens
        ),
        _ => format!(
            "the context is {max_model_len} tokens, but the prompt has {prompt_tokens}; shorten it to at most {}",
            max_model_len.saturating_sub(1)
        ),
    }
}
