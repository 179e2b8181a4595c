//! Writes that never fail over a value: what Postgres refuses for good is left out of the history, with a warning.
//!
//! Owns the difference between "not now" and "never". Every other error is handed on.

use std::{error::Error, slice};

use bedplate_crds::job::progress::ProgressEvent;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Artefact, Direction, Store, StoreError};

impl Store {
    /// As [`Store::progress_insert`] for events that lie in the progress file `from` one position `to` another. An event that
    /// Postgres refuses is left out: it would be refused for ever, and the rest with it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn progress_insert_accepted(
        &self,
        attempt: Uuid,
        events: &[ProgressEvent],
        (from, to): (u64, u64),
    ) -> Result<(), StoreError> {
        match self.progress_insert(attempt, events, to).await {
            Err(error) if error.is_rejection() => {
                for event in events {
                    accepted(self.progress_insert(attempt, slice::from_ref(event), from).await)?;
                }
                self.progress_insert(attempt, &[], to).await
            }
            written => written,
        }
    }

    /// As [`Store::lineage_edge_insert`]; an edge that Postgres refuses is left out.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lineage_edge_accepted(
        &self,
        attempt: Uuid,
        direction: Direction,
        artefact: &Artefact,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        accepted(self.lineage_edge_insert(attempt, direction, artefact, at).await)
    }
}

/// Lets a value go that Postgres refuses; every other error stays one.
fn accepted(written: Result<(), StoreError>) -> Result<(), StoreError> {
    match written {
        Err(error) if error.is_rejection() => {
            tracing::warn!(error = &error as &dyn Error, "left something out of the history");
            Ok(())
        }
        other => other,
    }
}
