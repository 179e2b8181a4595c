//! The schema's version: what this build knows, what the database has, and the way from one to the other.
//!
//! Owns the embedded migrations. Never migrates unasked: the command line asks, the operator only checks.

use sqlx::migrate::Migrator;

use super::{Store, StoreError};

/// Longest wait for a lock on a table that others use; a migration that cannot have it fails rather than blocks them.
const LOCK_TIMEOUT: &str = "3s";
/// Longest single statement of a migration. Two programs that migrate at once wait for each other within it.
const STATEMENT_TIMEOUT: &str = "60s";

/// The migrations of this build.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.create_schema("bedplate");
    migrator.dangerous_set_table_name("bedplate.schema_migrations");
    migrator
}

/// Version of the newest migration in this build.
pub(super) fn known_version() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

impl Store {
    /// Makes the tables or brings them up to date. Two callers at once take turns.
    ///
    /// # Errors
    /// When the tables are newer than this build, or the database refuses.
    pub async fn schema_migrate(&self) -> Result<(), StoreError> {
        self.refuse_newer().await?;
        let failed = |source| StoreError::Migrate { server: self.server().to_owned(), source };
        let mut connection = self.pool().acquire().await.map_err(|error| failed(error.into()))?;
        // A notice that something is there already is no news to anybody.
        sqlx::query!(
            "SELECT set_config('lock_timeout', $1, false) AS lock, set_config('statement_timeout', $2, false) AS statement,
                    set_config('client_min_messages', 'warning', false) AS messages",
            LOCK_TIMEOUT,
            STATEMENT_TIMEOUT
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed(error.into()))?;
        let migrated = migrator().run_direct(None, &mut *connection, false).await;
        // Its settings are not those of the pool, so it does not go back.
        drop(connection.detach());
        migrated.map_err(failed)
    }

    /// Checks that the tables are exactly those of this build.
    ///
    /// # Errors
    /// When they are newer or older.
    pub async fn schema_check(&self) -> Result<(), StoreError> {
        let (found, known) = (self.refuse_newer().await?, known_version());
        if found < known {
            return Err(StoreError::OlderSchema { server: self.server().to_owned(), found, known });
        }
        Ok(())
    }

    async fn refuse_newer(&self) -> Result<i64, StoreError> {
        let (found, known) = (self.schema_version().await?, known_version());
        if found > known {
            return Err(StoreError::NewerSchema { server: self.server().to_owned(), found, known });
        }
        Ok(found)
    }

    /// Version of the newest migration in the database; 0 where there is none.
    ///
    /// The table is the migrator's own and no migration makes it, so these two queries are checked when they run.
    async fn schema_version(&self) -> Result<i64, StoreError> {
        let attempted = StoreError::query("read the version of the schema");
        let made: Result<bool, _> = sqlx::query_scalar("SELECT to_regclass('bedplate.schema_migrations') IS NOT NULL")
            .fetch_one(self.pool())
            .await;
        match made {
            Ok(false) => Ok(0),
            Ok(true) => sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM bedplate.schema_migrations")
                .fetch_one(self.pool())
                .await
                .map_err(attempted),
            Err(error) => Err(attempted(error)),
        }
    }
}
