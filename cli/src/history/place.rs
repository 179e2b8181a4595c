//! Which Postgres: the one of a DATABASE_URL, or a private one under the state folder. Never reads the environment.

use std::path::{Path, PathBuf};

use bedplate_operator::store::{Endpoint, Store, StoreError, local_server::LocalServer};

use super::HistoryError;

/// Which Postgres keeps the history.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Somebody's server.
    Url(Box<Endpoint>),
    /// Our own, in this folder.
    Private(PathBuf),
}

impl Place {
    pub(super) fn new(state_dir: &Path, database_url: Option<&str>) -> Result<Self, StoreError> {
        match database_url {
            Some(url) if !url.is_empty() => Ok(Self::Url(Box::new(Endpoint::from_url(url)?))),
            _ => Ok(Self::Private(state_dir.join("postgres"))),
        }
    }

    /// Connects, with the tables made or brought up to date. A private server that was started before is kept in `server`.
    pub(super) async fn connect(&self, server: &mut Option<LocalServer>) -> Result<Store, HistoryError> {
        let endpoint = match (self, &server) {
            (Self::Url(endpoint), _) => Endpoint::clone(endpoint),
            (Self::Private(_), Some(running)) => {
                running.ensure_running().await?;
                running.endpoint()
            }
            (Self::Private(folder), None) => server.insert(LocalServer::open(folder).await?).endpoint(),
        };
        let store = Store::connect(&endpoint).await?;
        store.schema_migrate().await?;
        Ok(store)
    }
}
