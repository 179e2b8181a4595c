//! The arguments: every flag, its default, its environment variable and its help. Never acts on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::outcome::EXIT_CODE_HELP;

/// Data, training and serving of large language models, from three small manifests.
#[derive(Debug, Parser)]
#[command(name = "bedplate", version = crate::version::VERSION, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry out manifests on this machine: clean the data, train, serve.
    #[command(after_long_help = EXIT_CODE_HELP)]
    Run(RunArgs),
    /// Say what would be refused, and start nothing.
    Validate(ValidateArgs),
    /// Show what runs and what is finished under the state folder.
    Status(StatusArgs),
    /// List what ran: attempts, figures and what came out.
    Runs(RunsArgs),
    /// Show what came out of what: Dataset, training, checkpoint, deployment.
    Lineage(LineageArgs),
    /// Talk to a model behind any OpenAI-compatible endpoint.
    Chat(ChatArgs),
    /// Let a model continue a text.
    Complete(CompleteArgs),
    /// Print the version, and the commit it was built from.
    Version,
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Start a program that ends when its parent does (used by `run` for its children).
    #[command(hide = true)]
    Tether(TetherArgs),
}

/// Where state is kept.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// Folder for artefacts, logs and reports.
    #[arg(long, env = "BEDPLATE_STATE_DIR", default_value = ".bedplate", value_name = "FOLDER")]
    pub state_dir: PathBuf,
}

/// Arguments of `bedplate run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Manifests, folders of manifests, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
    /// Folder that relative `file:` uris start from.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    pub inputs: PathBuf,
    /// Port of the first deployment; each further one takes the next. 0 takes free ports.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Shell command to run once everything is ready; BEDPLATE_ENDPOINT holds the URL of the last deployment,
    /// BEDPLATE_ENDPOINT_<NAME> that of each.
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
    /// End when everything is ready (and COMMAND is over) instead of serving until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Folder of the workers' binaries. Default: beside this one, then PATH.
    #[arg(long, env = "BEDPLATE_BIN_DIR", value_name = "FOLDER")]
    pub bin_dir: Option<PathBuf>,
    /// Postgres that keeps the history. Default: a private one under the state folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Keep no history: neither use nor start a Postgres.
    #[arg(long)]
    pub no_history: bool,
}

/// Arguments of `bedplate validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// Manifests, folders of manifests, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// State, for resources that earlier runs have made.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Arguments of `bedplate status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// Where the history is kept.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
    /// Postgres that keeps the history. Default: the private one under the state folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// Arguments of `bedplate runs`.
#[derive(Clone, Debug, Args)]
pub struct RunsArgs {
    /// Show the runs of this name in full.
    pub name: Option<String>,
    /// Most runs to list, the newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// History.
    #[command(flatten)]
    pub history: HistoryArgs,
}

/// Arguments of `bedplate lineage`.
#[derive(Clone, Debug, Args)]
pub struct LineageArgs {
    /// Name of a run, or the first digits (at least 6) of a digest.
    #[arg(value_name = "NAME|DIGEST")]
    pub start: String,
    /// History.
    #[command(flatten)]
    pub history: HistoryArgs,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people.
    Table,
    /// JSON for programs.
    Json,
}

/// Which endpoint is asked, and how tokens are drawn.
#[derive(Clone, Debug, Args)]
pub struct EndpointArgs {
    /// Base URL of the endpoint, with or without `/v1`. Default: the running deployment under the state folder.
    #[arg(long, env = "BEDPLATE_ENDPOINT")]
    pub url: Option<String>,
    /// Deployment to ask, where several run.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub deployment: Option<String>,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
    /// Model to ask; default: the first one that the endpoint lists.
    #[arg(long)]
    pub model: Option<String>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 512)]
    pub max_tokens: u32,
    /// Sampling temperature; 0 always takes the likeliest token.
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Key sent as a bearer token.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

/// Arguments of `bedplate chat`.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    /// Say this once, print the answer and leave; without it a conversation begins.
    #[arg(short, long)]
    pub message: Option<String>,
    /// Instruction that precedes the conversation.
    #[arg(long)]
    pub system: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

/// Arguments of `bedplate complete`.
#[derive(Clone, Debug, Args)]
pub struct CompleteArgs {
    /// The text to continue.
    pub prompt: String,
    /// Whom to ask.
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

/// Arguments of the hidden `bedplate tether`.
#[derive(Clone, Debug, Args)]
pub struct TetherArgs {
    /// Process whose end ends the program.
    #[arg(long)]
    pub parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}
