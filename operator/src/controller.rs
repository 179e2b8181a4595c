//! The half of the operator that talks: watches, reconciles, and the one of several operators that acts.
//!
//! Owns the order of an operator's life: reach the API server, wait to lead, watch, reconcile, hand over. Never decides what
//! a resource becomes; [`crate::cluster`] does.

mod answer;
mod apply;
mod context;
mod dataset;
mod dereference;
mod epoch;
mod events;
mod fence;
mod finalizer;
mod history;
mod http;
mod leader;
mod memory;
mod metrics;
mod model_deployment;
mod observe;
mod progress;
mod scheduler;
mod status;
mod term;
mod trace;
mod training_job;
mod unreadable;
mod wake;
mod world;

use bedplate_telemetry::chain::Chain;
use kube::Client;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{job_key::JobKey, settings::ClusterSettings},
    config::OperatorConfig,
    progress_api::hub::ProgressHub,
};
use leader::{Elector, LeaderError};
use metrics::Metrics;
use term::Term;

/// What an operator is given by its process.
pub struct Operator {
    /// The settings.
    pub config: OperatorConfig,
    /// Client of the API server.
    pub client: Client,
    /// Name among the operators: the pod's.
    pub identity: String,
    /// Address of Postgres, if there is one.
    pub database_url: Option<String>,
}

/// Why an operator ended that was not asked to. The next start begins from what is there.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The HTTP listener cannot be had.
    #[error("could not listen at {address}; is another process there? Change {field} in the settings")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The field that names it.
        field: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Pods could not check whom they report to.
    #[error("could not read {path}, the authority of the progress API; put ca.crt into progress.tlsDir", path = path.display())]
    Authority {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A series is defined twice.
    #[error("could not set up the metrics")]
    Metrics(#[source] prometheus::Error),
    /// Another operator leads.
    #[error("the lease was lost, so this operator stops at once")]
    Deposed(#[source] LeaderError),
    /// A child shows that another operator leads.
    #[error("another operator has acted since, so this one stops at once")]
    Fenced,
    /// A part that lives as long as the operator ended before it.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

impl Operator {
    /// Lives until `stop`, then hands over.
    ///
    /// # Errors
    /// When it cannot start, or another operator leads in the middle of its term.
    pub async fn run(self, stop: CancellationToken) -> Result<(), OperatorError> {
        let metrics = Metrics::new().map_err(OperatorError::Metrics)?;
        let mut tasks = JoinSet::new();
        let settings = self.settings()?;
        let history = history::open(self.database_url.as_deref(), &mut tasks);
        let (progress, keep_going) = ProgressHub::new(history);
        tasks.spawn(keep_going);
        let ready = self.serve_http(metrics.clone(), progress.clone(), &mut tasks).await?;
        let Some(capabilities) = term::discover(&self.client, &stop).await else { return Ok(()) };
        ready.send_replace(None);
        let election = &self.config.leader_election;
        let elector = Elector::new(self.client.clone(), election, self.identity.clone(), self.config.scopes());
        let Some(mut lease) = stop.run_until_cancelled(elector.acquire()).await else { return Ok(()) };
        tracing::info!(identity = self.identity, epoch = lease.epoch, "leads");
        metrics.leader.set(1);
        let term = Term {
            operator: &self,
            epoch: lease.epoch,
            capabilities,
            metrics: &metrics,
            progress: &progress,
            settings: &settings,
            stop: &stop,
        };
        let ended = tokio::select! {
            ended = term.serve() => ended,
            lost = elector.hold(&mut lease) => Err(OperatorError::Deposed(lost)),
        };
        metrics.leader.set(0);
        ended?;
        if let Err(error) = elector.release(&mut lease).await {
            tracing::warn!(error = %Chain(&error), "the lease could not be given back; it will run out");
        }
        Ok(())
    }

    /// The cluster's settings, with the authority that pods check the progress API against and the key of the jobs' tokens.
    fn settings(&self) -> Result<ClusterSettings, OperatorError> {
        let mut settings = self.config.cluster.clone();
        settings.job_key = JobKey::random();
        if let Some(listener) = &self.config.progress {
            let path = listener.tls_dir.join("ca.crt");
            settings.ca_pem =
                std::fs::read_to_string(&path).map_err(|source| OperatorError::Authority { path, source })?;
            // Every operator of the installation has this key and nobody else does, so whichever leads makes the same tokens.
            // Where it cannot be read the progress API says so.
            if let Ok(key) = std::fs::read(listener.tls_dir.join("tls.key")) {
                settings.job_key = JobKey::from_secret(&key);
            }
        }
        Ok(settings)
    }

    /// Answers health checks and scrapes; the sender says why the operator is not ready.
    async fn serve_http(
        &self,
        metrics: Metrics,
        progress: ProgressHub,
        tasks: &mut JoinSet<()>,
    ) -> Result<watch::Sender<Option<&'static str>>, OperatorError> {
        let (ready, not_ready) = watch::channel(Some("the API server has not answered yet"));
        let address = self.config.http;
        let listener = TcpListener::bind(address).await.map_err(|source| OperatorError::Listen {
            address,
            field: "http",
            source,
        })?;
        let router = http::router(http::Health { metrics, progress, not_ready });
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(error = %Chain(&error), "health checks are no longer answered");
            }
        });
        Ok(ready)
    }
}
