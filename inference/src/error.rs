//! Everything a client can be told has gone wrong, once for HTTP and gRPC.
//!
//! Owns the words and their kind. How a kind looks on the wire is written in `http/error.rs` and `grpc.rs`, once each.

/// Seconds a client is asked to wait before it tries again: a few answers' time. openai-python reads 0 as "not said" and
/// gives up at once above 120 (openai 3.57.0), so it must stay between the two.
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
    /// A text is longer than the longest context of tokens; told without tokenising it.
    #[error(
        "{param} has {bytes} bytes, but the context is {max_model_len} tokens, which hold at most {most_bytes} bytes of \
         text; shorten it"
    )]
    TextTooLong {
        /// What the text is called on this wire.
        param: &'static str,
        /// Bytes it has.
        bytes: usize,
        /// Longest prompt plus answer, in tokens.
        max_model_len: usize,
        /// Bytes that so many tokens can stand for.
        most_bytes: usize,
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
    /// Requests that are being read and tokenised hold as many bytes as they may.
    #[error(
        "requests of {most_bytes} bytes together are being read already; try again in {RETRY_AFTER_SECONDS} s, or send \
         a smaller one"
    )]
    IntakeFull {
        /// Bytes that they may hold.
        most_bytes: usize,
    },
    /// The model's numbers are no probabilities.
    #[error(
        "the model computes NaN or infinity for this input, so there is no next token; its weights are damaged or do \
         not fit their number format"
    )]
    NotFinite,
    /// The process ends before the answer did.
    #[error("the server is stopping and cuts the answer off; send the request again in {RETRY_AFTER_SECONDS} s")]
    ShuttingDown,
    /// The engine has panicked; a new process is needed.
    #[error("the engine has failed; the request cannot be answered by this replica")]
    EngineFailed,
    /// A fault of this server, which its log tells of.
    #[error("the request could not be handled because of a fault in the server; its log says which")]
    Internal,
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
            Self::ContextLength { param, .. } | Self::TextTooLong { param, .. } => Some(param),
            Self::UnknownModel { .. } => Some("model"),
            Self::UnknownPath { .. }
            | Self::WrongMethod { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::QueueFull { .. }
            | Self::IntakeFull { .. }
            | Self::NotFinite
            | Self::ShuttingDown
            | Self::EngineFailed
            | Self::Internal => None,
        }
    }

    /// Seconds after which the same request may be answered, where it may.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        let passes = matches!(self, Self::QueueFull { .. } | Self::IntakeFull { .. } | Self::ShuttingDown);
        passes.then_some(RETRY_AFTER_SECONDS)
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
