//! Tables are made, recognised, and refused where they are from a later release.

use bedplate_operator::store::{Store, StoreError};

use crate::database::Database;

#[tokio::test]
async fn every_migration_file_is_embedded_and_applied() {
    let (database, _store) = Database::with_store().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<i64> = files
        .filter_map(|name| name.strip_suffix(".sql").map(|stem| stem.split('_').next().unwrap().parse().unwrap()))
        .collect();
    files.sort_unstable();
    let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM bedplate.schema_migrations ORDER BY version")
        .fetch_all(&mut database.connection().await)
        .await
        .unwrap();
    assert_eq!(applied, files);
}

#[tokio::test]
async fn two_that_migrate_at_once_take_turns_and_a_second_time_changes_nothing() {
    let database = Database::empty().await;
    let first = Store::connect(database.endpoint()).await.unwrap();
    let second = Store::connect(database.endpoint()).await.unwrap();
    let (one, two) = tokio::join!(first.schema_migrate(), second.schema_migrate());
    one.unwrap();
    two.unwrap();
    first.schema_migrate().await.unwrap();
    first.schema_check().await.unwrap();
}

#[tokio::test]
async fn tables_of_a_later_release_are_refused_by_version_and_remedy() {
    let (database, store) = Database::with_store().await;
    sqlx::query(
        "INSERT INTO bedplate.schema_migrations (version, description, success, checksum, execution_time)
         VALUES (29991231235959, 'from the future', true, '', 0)",
    )
    .execute(&mut database.connection().await)
    .await
    .unwrap();
    for refused in [store.schema_migrate().await, store.schema_check().await] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("29991231235959") && error.contains("upgrade bedplate"), "{error}");
    }
}

#[tokio::test]
async fn missing_tables_are_only_made_when_asked() {
    let database = Database::empty().await;
    let store = Store::connect(database.endpoint()).await.unwrap();
    let error = store.schema_check().await.unwrap_err();
    assert!(matches!(error, StoreError::OlderSchema { found: 0, .. }), "{error}");
    store.schema_migrate().await.unwrap();
    store.schema_check().await.unwrap();
}

#[tokio::test]
async fn every_table_and_its_reasons_are_commented() {
    let (database, _store) = Database::with_store().await;
    let bare: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'bedplate' AND c.relkind = 'r' AND c.relname <> 'schema_migrations'
           AND obj_description(c.oid) IS NULL",
    )
    .fetch_all(&mut database.connection().await)
    .await
    .unwrap();
    assert_eq!(bare, Vec::<String>::new());
}
