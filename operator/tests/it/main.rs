//! The store against a real Postgres: one database a test, on a private server that the tests start as a laptop would, or on the
//! server of DATABASE_URL. The controllers against a real kube-apiserver: one namespace a test. The progress API over real TLS,
//! with tokens that a stand-in for the API server reviews.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

#[cfg(feature = "controller")]
mod chart;
#[cfg(feature = "controller")]
mod cluster;
#[cfg(feature = "controller")]
mod convergence;
mod database;
mod events;
#[cfg(feature = "controller")]
mod leadership;
mod lineage;
mod local_server;
#[cfg(feature = "controller")]
mod older_crd;
mod progress;
#[cfg(feature = "controller")]
mod progress_api;
#[cfg(feature = "controller")]
mod progress_server;
mod queries;
#[cfg(feature = "controller")]
mod quiet;
mod reach;
#[cfg(feature = "controller")]
mod reconcile;
mod schema;
