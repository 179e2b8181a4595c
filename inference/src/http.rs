//! The OpenAI-compatible HTTP endpoint.
//!
//! Owns paths, wire shapes and status codes. Never computes: every answer comes through `Service`.

mod body;
mod chat;
mod choices;
mod completions;
mod error;
mod fields;
mod logprobs;
mod options;
mod probes;
mod sse;
mod template;
mod tokens;
mod tracing_layer;

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
    routing::{MethodRouter, get, post},
};
use tower_http::cors::CorsLayer;

use crate::{error::ApiError, service::Service};

type Routes = [(&'static str, MethodRouter<Arc<Service>>); 12];

/// Every path and who answers it.
fn routes() -> Routes {
    [
        ("/v1/models", get(probes::list_models)),
        ("/v1/models/{model}", get(probes::show_model)),
        ("/v1/completions", post(completions::create)),
        ("/v1/chat/completions", post(chat::create)),
        ("/tokenize", post(tokens::tokenize)),
        ("/detokenize", post(tokens::detokenize)),
        ("/tokenizer_info", get(probes::tokenizer_info)),
        ("/health", get(probes::health)),
        ("/ping", get(probes::health)),
        ("/ready", get(probes::ready)),
        ("/version", get(probes::version)),
        ("/metrics", get(probes::metrics)),
    ]
}

/// Every path that is answered.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// The endpoint of `service`. With `allow_any_origin`, web pages from anywhere may use it.
pub fn app(service: Arc<Service>, allow_any_origin: bool) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    let router = router
        .fallback(async |method: Method, uri: Uri| ApiError::UnknownPath {
            method: method.to_string(),
            path: uri.path().to_owned(),
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| ApiError::WrongMethod {
            method: method.to_string(),
            path: uri.path().to_owned(),
        })
        .layer(middleware::from_fn(tracing_layer::trace));
    let router = if allow_any_origin { router.layer(CorsLayer::permissive()) } else { router };
    router.with_state(service)
}
