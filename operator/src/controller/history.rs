//! The way to Postgres: opened in the background, tried again for as long as the operator lives.
//!
//! Owns the attempts and the check of the schema. Nothing waits for it: without a store there is no history, and everything
//! else goes on.

use std::time::Duration;

use bedplate_telemetry::chain::Chain;
use kube::runtime::watcher::DefaultBackoff;
use tokio::{sync::watch, time::sleep};

use crate::progress_api::hub::HistorySource;
use crate::store::{Endpoint, Store, StoreError};

/// Wait after a refusal that only a person ends, such as tables of another version: an upgrade is under way, or about to be.
const SCHEMA_RETRY: Duration = Duration::from_secs(60);
/// What the back-off ends at, should it ever have no next step.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The store as soon as there is one; no history at all without an address.
pub fn open(url: Option<&str>, tasks: &mut tokio::task::JoinSet<()>) -> HistorySource {
    match url.map(Endpoint::from_url) {
        None => {
            tracing::info!("DATABASE_URL is not set: no history is kept");
            HistorySource::None
        }
        Some(Err(error)) => {
            tracing::error!(error = %Chain(&error), "no history is kept");
            HistorySource::None
        }
        Some(Ok(endpoint)) => {
            let (sender, receiver) = watch::channel(None);
            tasks.spawn(async move {
                let store = connect(&endpoint).await;
                tracing::info!(server = store.server(), "history is kept");
                // Closed only at shut-down.
                let _ = sender.send(Some(store));
                sender.closed().await;
            });
            HistorySource::Store(receiver)
        }
    }
}

async fn connect(endpoint: &Endpoint) -> Store {
    let mut backoff = DefaultBackoff::default();
    loop {
        let wait = match checked(endpoint).await {
            Ok(store) => return store,
            Err(error @ (StoreError::NewerSchema { .. } | StoreError::OlderSchema { .. })) => {
                tracing::error!(error = %Chain(&error), "no history is kept yet");
                SCHEMA_RETRY
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no history is kept yet");
                backoff.next().unwrap_or(LONGEST_WAIT)
            }
        };
        sleep(wait).await;
    }
}

async fn checked(endpoint: &Endpoint) -> Result<Store, StoreError> {
    let store = Store::connect(endpoint).await?;
    store.schema_check().await?;
    Ok(store)
}
