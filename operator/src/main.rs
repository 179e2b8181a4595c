//! `bedplate-operator`: looks after the three kinds in a cluster. Owns arguments, environment, signals and the exit code.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use bedplate_operator::{
    config::OperatorConfig,
    controller::Operator,
    store::{Endpoint, Store},
};
use clap::{Parser, Subcommand};
use kube::Client;
use tokio_util::sync::CancellationToken;

/// Looks after Datasets, TrainingJobs and ModelDeployments.
#[derive(Debug, Parser)]
#[command(name = "bedplate-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until SIGTERM.
    Run {
        /// The settings (YAML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Name among the operators; the pod's.
        #[arg(long, env = "POD_NAME", value_name = "NAME")]
        identity: Option<String>,
        /// Address of Postgres; without it no history is kept.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
        database_url: Option<String>,
    },
    /// Makes the tables of the history or brings them up to date, and ends.
    Migrate {
        /// Address of Postgres.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
        database_url: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _telemetry = bedplate_telemetry::logging::init("bedplate-operator");
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match begin(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn begin(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Migrate { database_url } => migrate(&database_url).await,
        Command::Run { config, identity, database_url } => {
            let config = OperatorConfig::read(&config)?;
            let client = Client::try_default()
                .await
                .context("could not find the API server; run in a pod, or set KUBECONFIG")?;
            let identity = identity.map_or_else(host_name, Ok)?;
            let database_url = database_url.filter(|url| !url.is_empty());
            let operator = Operator { config, client, identity, database_url };
            Ok(operator.run(stop_on_signal()?).await?)
        }
    }
}

async fn migrate(database_url: &str) -> anyhow::Result<()> {
    let store = Store::connect(&Endpoint::from_url(database_url)?).await?;
    store.schema_migrate().await?;
    tracing::info!(server = store.server(), "the tables are up to date");
    store.close().await;
    Ok(())
}

/// What Linux calls this machine; in a pod the pod's name.
fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .context("could not read the host name; give --identity")?;
    Ok(name.trim().to_owned())
}

/// Set by SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: what runs is brought to its end");
        asked.cancel();
    });
    Ok(stop)
}
