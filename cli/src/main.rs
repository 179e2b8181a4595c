//! Entry point: parse the arguments, do the one thing asked, end with its exit code.
#![forbid(unsafe_code)]

use std::{io::Write, process::ExitCode};

use bedplate::{
    args::{Cli, Command, RunArgs},
    chat, history, process, run, status, validate, version,
};
use bedplate_telemetry::chain::Chain;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tell(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => return run(args),
        Command::Validate(args) => {
            if let Err(error) = validate::validate(&args) {
                tell(&error);
                return Ok(error.exit_code());
            }
        }
        Command::Status(args) => status::status(&args)?,
        Command::Runs(args) => runtime()?.block_on(history::commands::runs(args))?,
        Command::Lineage(args) => runtime()?.block_on(history::commands::lineage(args))?,
        Command::Chat(args) => runtime()?.block_on(chat::chat(args))?,
        Command::Complete(args) => runtime()?.block_on(chat::complete(args))?,
        Command::Version => println!("{}", version::line()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bedplate", &mut std::io::stdout());
        }
        Command::Tether(args) => return Err(process::tether::become_program(args).into()),
    }
    Ok(0)
}

fn run(args: RunArgs) -> anyhow::Result<u8> {
    let _telemetry = asks_for_telemetry().then(|| bedplate_telemetry::logging::init("bedplate"));
    let resume = std::env::args().map(|argument| shell_quoted(&argument)).collect::<Vec<_>>().join(" ");
    // Children must be started by this very thread (see `process::tether`), which `block_on` keeps to.
    match runtime()?.block_on(run::run(args, &resume)) {
        Ok(outcome) => Ok(outcome.exit_code()),
        Err(error) => {
            tell(&error);
            Ok(error.exit_code())
        }
    }
}

/// Log lines would run through the bars: they are for whoever asks for them.
fn asks_for_telemetry() -> bool {
    ["RUST_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"].iter().any(|name| std::env::var_os(name).is_some())
}

/// One line, or one for each problem. Nobody is there to be told when standard error is closed.
fn tell(error: &(dyn std::error::Error + 'static)) {
    let text = if error.source().is_some() { Chain(error).to_string() } else { error.to_string() };
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

fn shell_quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// One runtime for whatever talks to processes or the network; TLS is set up once, with ring.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // A second installation only says that the first one stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
