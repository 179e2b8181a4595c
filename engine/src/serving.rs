//! Serving: a model's weights in their stored format, the paged KV cache, and the forward pass of one mixed step.
//!
//! Owns the inference arithmetic of a LLaMA-style decoder. Every output row has the same bits whatever else is in the
//! step, however a prompt is cut into chunks, wherever its blocks lie and however many threads compute. Never
//! schedules, samples, or reads files by itself.

mod attention;
mod error;
mod gguf_model;
mod kv_cache;
mod model;
mod row_ops;
mod runner;
mod source;
#[cfg(test)]
mod tests;

pub use error::ServingError;
pub use kv_cache::{KvCache, KvFormat};
pub use model::ServingModel;
pub use runner::{Chunk, Runner};
