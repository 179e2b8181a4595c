//! Entry point: parse the arguments, do the one thing asked, end with its exit code.
#![forbid(unsafe_code)]

use std::{io::Write, process::ExitCode};

use bedplate::{
    args::{Cli, Command},
    chat,
};
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Chat(args) => {
            runtime()?.block_on(chat::chat(args))?;
        }
        Command::Version => println!("bedplate {}", env!("CARGO_PKG_VERSION")),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bedplate", &mut std::io::stdout());
        }
    }
    Ok(0)
}

/// One runtime for whatever talks to processes or the network; TLS is set up once, with ring.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // A second installation only says that the first one stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
