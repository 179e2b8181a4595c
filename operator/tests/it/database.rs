//! A database of its own for each test. Never shared, and dropped with its server.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{Arc, Weak},
};

use bedplate_operator::store::{Endpoint, Store, local_server::LocalServer};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

/// The private server of this test binary: started by the first test that asks, stopped by the last that lets go.
struct Server {
    running: Option<LocalServer>,
    _folder: tempfile::TempDir,
}

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

impl Drop for Server {
    fn drop(&mut self) {
        let running = self.running.take().unwrap();
        let stop = move || tokio::runtime::Runtime::new().unwrap().block_on(running.close());
        std::thread::spawn(stop).join().unwrap().unwrap();
    }
}

/// A folder that the user of root's server can enter too.
pub fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

async fn server() -> Arc<Server> {
    let mut known = SERVER.lock().await;
    if let Some(server) = known.upgrade() {
        return server;
    }
    let folder = open_folder();
    let running = LocalServer::open(&folder.path().join("postgres")).await.unwrap();
    hurry(&running.endpoint()).await;
    let server = Arc::new(Server { running: Some(running), _folder: folder });
    *known = Arc::downgrade(&server);
    server
}

/// Nobody misses these databases after a power cut, and making one is a hundred times an fsync.
async fn hurry(endpoint: &Endpoint) {
    let mut connection = PgConnection::connect_with(endpoint.options()).await.unwrap();
    for statement in ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// A database with nothing in it.
pub struct Database {
    endpoint: Endpoint,
    _server: Option<Arc<Server>>,
}

impl Database {
    pub async fn empty() -> Self {
        let (server, endpoint) = match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => (None, Endpoint::from_url(&url).unwrap()),
            _ => {
                let server = server().await;
                let endpoint = server.running.as_ref().unwrap().endpoint();
                (Some(server), endpoint)
            }
        };
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect_with(endpoint.options()).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self { endpoint: endpoint.with_database(&name), _server: server }
    }

    /// A database with the tables of this build, and the store on it.
    pub async fn with_store() -> (Self, Store) {
        let database = Self::empty().await;
        let store = Store::connect(&database.endpoint).await.unwrap();
        store.schema_migrate().await.unwrap();
        (database, store)
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A connection for SQL that the store does not have.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(self.endpoint.options()).await.unwrap()
    }

    /// Every row of every table but the migrator's, as text, sorted: equal where the tables are equal.
    pub async fn rows(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT table_name::text FROM information_schema.tables
             WHERE table_schema = 'bedplate' AND table_name <> 'schema_migrations' ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let mut rows = Vec::new();
        for table in tables {
            let select = format!("SELECT '{table} ' || row_to_json(t)::text FROM bedplate.{table} t ORDER BY 1");
            let found: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&mut connection).await.unwrap();
            rows.extend(found);
        }
        rows
    }
}
