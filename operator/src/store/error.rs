//! Why the store could not do what was asked. Never carries a password: a server is named by host, port and database.

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the server does not parse.
    #[error("could not understand DATABASE_URL; write it as postgres://USER:PASSWORD@HOST:5432/DATABASE")]
    ParseUrl(#[source] sqlx::Error),
    /// The server does not answer, or refuses.
    #[error("could not connect to Postgres at {server}; check that it runs and that DATABASE_URL is right")]
    Connect {
        /// Host, port and database.
        server: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The server took too long to accept a connection.
    #[error(
        "Postgres at {server} did not answer within {seconds} s; check that it runs and that DATABASE_URL is right"
    )]
    ConnectTimeout {
        /// Host, port and database.
        server: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The tables could not be made or brought up to date.
    #[error("could not migrate the tables at {server}; the user of DATABASE_URL needs the right to create a schema")]
    Migrate {
        /// Host, port and database.
        server: String,
        /// What the migrator said.
        source: sqlx::migrate::MigrateError,
    },
    /// The tables are from a later release.
    #[error(
        "the tables at {server} are of schema {found}, newer than the {known} that this build knows; upgrade bedplate, or give it a \
         database of its own"
    )]
    NewerSchema {
        /// Host, port and database.
        server: String,
        /// Version of the newest migration in the database.
        found: i64,
        /// Version of the newest migration in this build.
        known: i64,
    },
    /// The tables are missing or from an earlier release.
    #[error(
        "the tables at {server} are of schema {found}, older than the {known} that this build needs; run the migrations first"
    )]
    OlderSchema {
        /// Host, port and database.
        server: String,
        /// Version of the newest migration in the database; 0 where there is none.
        found: i64,
        /// Version of the newest migration in this build.
        known: i64,
    },
    /// Progress of an attempt that the tables do not know: they were emptied while it ran.
    #[error("attempt {attempt} is not in the tables; write it first")]
    UnknownAttempt {
        /// Id of the attempt.
        attempt: uuid::Uuid,
    },
    /// A statement failed.
    #[error("could not {attempted} in Postgres")]
    Query {
        /// What was attempted.
        attempted: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Turns a driver's error into one that says what was attempted.
    pub(super) fn query(attempted: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Query { attempted, source }
    }

    /// Whether the database looked at the values and will refuse them however often they are sent.
    ///
    /// A missing parent row is not of that kind: it means that the tables were emptied, and that writing anew from the
    /// beginning helps.
    pub fn is_rejection(&self) -> bool {
        // SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation); 23503 is the missing parent.
        self.code().is_some_and(|code| (code.starts_with("22") || code.starts_with("23")) && code != "23503")
    }

    fn code(&self) -> Option<String> {
        let Self::Query { source: sqlx::Error::Database(error), .. } = self else { return None };
        error.code().map(|code| code.into_owned())
    }
}
