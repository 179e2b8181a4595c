//! The committed query files say what a real Postgres with these migrations says: nobody forgot `scripts/sqlx-prepare.sh`.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use crate::database::Database;

#[tokio::test]
async fn the_committed_query_files_agree_with_the_tables() {
    let (database, _store) = Database::with_store().await;
    let mut connection = database.connection().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let sql = AssertSqlSafe(file["query"].as_str().unwrap().to_owned()).into_sql_str();
        let described = (&mut connection).describe(sql).await.unwrap();
        assert_eq!(serde_json::to_value(described).unwrap(), file["describe"], "{}", path.display());
        checked += 1;
    }
    assert!(checked >= 20, "{checked} files in {}", folder.display());
}
