//! The arguments: every flag, its default and its help. Never acts on them.

use clap::{Args, Parser, Subcommand};

/// Data, training and serving of large language models, from three small manifests.
#[derive(Debug, Parser)]
#[command(name = "bedplate", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk to a model behind any OpenAI-compatible endpoint.
    Chat(ChatArgs),
    /// Print the version.
    Version,
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Arguments of `bedplate chat`.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    /// Say this once and leave; without it a conversation begins.
    pub prompt: Option<String>,
    /// Base URL of the endpoint, with or without `/v1`.
    #[arg(long, env = "BEDPLATE_URL", default_value = "http://127.0.0.1:8000")]
    pub url: String,
    /// Model to ask; default: the first one that the endpoint lists.
    #[arg(long)]
    pub model: Option<String>,
    /// Instruction that precedes the conversation.
    #[arg(long)]
    pub system: Option<String>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 512)]
    pub max_tokens: u32,
    /// Sampling temperature; 0 always takes the likeliest token.
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Continue the prompt as plain text (`/v1/completions`) instead of answering it.
    #[arg(long, requires = "prompt")]
    pub complete: bool,
    /// Key sent as a bearer token.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}
