//! The operator's own settings: one YAML file, read once at start.
//!
//! Owns what may be written in it. Never reads the environment beyond the names that Kubernetes' downward API fills.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::cluster::settings::ClusterSettings;

/// Most reconciles of one kind at once, for a cluster that names no number: enough that one slow answer holds nobody up.
const DEFAULT_WORKERS: u16 = 4;
/// client-go's own: long enough for an API server that restarts, short enough that nobody waits for a dead operator.
const DEFAULT_LEASE_SECONDS: u16 = 15;
/// Below it the renewals, seven a term, would crowd out the work.
const MIN_LEASE_SECONDS: u16 = 2;

/// What `bedplate-operator run --config` reads.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorConfig {
    /// What the children of every resource are made with.
    pub cluster: ClusterSettings,
    /// Listener of `/healthz`, `/readyz` and `/metrics`.
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    /// Listener of the progress API; without it pods report nothing, and end states come from their Jobs alone.
    #[serde(default)]
    pub progress: Option<ProgressListener>,
    /// Which operator of several acts.
    pub leader_election: LeaderElection,
    /// Reconciles of one kind at once.
    #[serde(default = "default_workers")]
    pub workers: u16,
    /// Namespaces it looks after; empty for all.
    #[serde(default)]
    pub watch_namespaces: Vec<String>,
}

/// Where the progress API listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgressListener {
    /// Address and port.
    pub address: SocketAddr,
    /// Folder with `tls.crt`, `tls.key` and `ca.crt`, as a Secret of type `kubernetes.io/tls` has them.
    pub tls_dir: PathBuf,
}

/// The Lease that operators compete for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaderElection {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Seconds after which a leader that is not heard of has lost it.
    #[serde(default = "default_lease_seconds")]
    pub lease_seconds: u16,
}

fn default_lease_seconds() -> u16 {
    DEFAULT_LEASE_SECONDS
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8080))
}

fn default_workers() -> u16 {
    DEFAULT_WORKERS
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("could not read the settings {path}; give the operator's file with --config", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what is expected.
    #[error("could not use the settings {path}: {reason}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Field, place and what is wrong.
        reason: String,
    },
}

impl OperatorConfig {
    /// The namespaces to watch one by one, or the one entry that stands for all of them.
    pub fn scopes(&self) -> Vec<Option<String>> {
        if self.watch_namespaces.is_empty() {
            return vec![None];
        }
        self.watch_namespaces.iter().cloned().map(Some).collect()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or holds something that is not known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text).map_err(|reason| ConfigError::Parse { path: path.to_path_buf(), reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut field = String::new();
        let parsed: Result<Self, _> = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        let config = parsed.map_err(|error| format!("{field}: {}", error.without_snippet()))?;
        if config.workers == 0 {
            return Err("workers: is 0; write 1 or more".to_owned());
        }
        if config.leader_election.lease_seconds < MIN_LEASE_SECONDS {
            return Err(format!("leaderElection.leaseSeconds: must be {MIN_LEASE_SECONDS} or more"));
        }
        Ok(config)
    }
}
