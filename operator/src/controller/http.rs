//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Owns the three answers. Healthy is a process that answers. Ready is one that could lead, whether or not it does: a
//! rolling update and `helm --wait` would never end otherwise.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::sync::watch;

use super::metrics::Metrics;
use crate::progress_api::hub::ProgressHub;

/// What the answers are made of.
#[derive(Clone)]
pub struct Health {
    /// Every series.
    pub metrics: Metrics,
    /// What pods report.
    pub progress: ProgressHub,
    /// Why it is not ready; none when it is.
    pub not_ready: watch::Receiver<Option<&'static str>>,
}

/// The three routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    match *health.not_ready.borrow() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(health): State<Health>) -> (StatusCode, String) {
    health.metrics.reported(&health.progress);
    match health.metrics.text() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
