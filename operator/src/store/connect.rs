//! Reaching Postgres: address, limits of the pool, and what every connection is set to.
//!
//! Owns the pool. Never logs an address with its password.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::StoreError;

/// Longest wait for a first connection: a server that takes longer is as good as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a free connection: writers are few and quick, so a longer wait means the server hangs.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest single statement: no query of the store takes a tenth of it, and a stuck one must not hold a connection.
const STATEMENT_TIMEOUT: &str = "5s";
/// Connections of one process: one writer, one reader, and room for a migration beside them.
const MAX_CONNECTIONS: u32 = 4;

/// Where a Postgres is and as whom to enter. Its `Debug` and its `server()` name no password.
#[derive(Clone)]
pub struct Endpoint {
    options: PgConnectOptions,
    server: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.server).finish()
    }
}

impl Endpoint {
    /// The server of a `DATABASE_URL`.
    ///
    /// # Errors
    /// When it is not the url of a Postgres.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            let reason = "it does not begin with postgres://";
            return Err(StoreError::ParseUrl(sqlx::Error::Configuration(reason.into())));
        }
        let options = PgConnectOptions::from_str(url).map_err(StoreError::ParseUrl)?;
        Ok(Self::new(options))
    }

    /// A server that listens on a socket in `folder`.
    pub fn from_socket(folder: &Path, port: u16, user: &str, database: &str) -> Self {
        let options = PgConnectOptions::new_without_pgpass().socket(folder).port(port);
        Self::new(options.username(user).database(database))
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(self, database: &str) -> Self {
        Self::new(self.options.database(database))
    }

    fn new(options: PgConnectOptions) -> Self {
        let database = options.get_database().unwrap_or(options.get_username());
        let place = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let server = format!("{place}/{database}");
        Self { options: options.application_name("bedplate").disable_statement_logging(), server }
    }

    /// Host, port and database: what a person may read.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What the driver is told, for whoever has SQL of their own. Holds the password.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// An open store: a bounded pool of connections to one database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    server: String,
}

impl Store {
    /// Connects, once now and later as needed.
    ///
    /// # Errors
    /// When the server does not answer in time or refuses.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, StoreError> {
        let Endpoint { options, server } = endpoint;
        let refused = |source| StoreError::Connect { server: server.clone(), source };
        // The pool would wait out its timeout and then not say why; one connection beforehand says it at once.
        let first = timeout(CONNECT_TIMEOUT, options.connect()).await;
        let late = |_| StoreError::ConnectTimeout { server: server.clone(), seconds: CONNECT_TIMEOUT.as_secs() };
        first.map_err(late)?.map_err(refused)?.close().await.map_err(refused)?;
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query!(
                        "SELECT set_config('search_path', '', false) AS path, set_config('statement_timeout', $1, false) AS statement",
                        STATEMENT_TIMEOUT
                    )
                    .fetch_one(connection)
                    .await
                    .map(drop)
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Self { pool, server: server.clone() })
    }

    /// Ends every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Host, port and database.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }
}
