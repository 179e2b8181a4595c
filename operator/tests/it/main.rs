//! The store against a real Postgres: one database a test, on a private server that the tests start as a laptop would, or on the
//! server of DATABASE_URL.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

#[cfg(feature = "controller")]
mod chart;
mod database;
mod events;
mod lineage;
mod local_server;
mod progress;
mod queries;
mod reach;
mod schema;
