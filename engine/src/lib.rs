//! The model runtime: token ids in, logits or gradients out.
//!
//! Owns the decoder, its ops, memory plan, optimiser and schedules. Reads neither the
//! environment nor the clock. Work runs on the rayon pool it is called from; its results do not depend on that pool's size.
#![deny(unsafe_code)]

pub mod checkpoint;
pub mod collective;
pub mod config;
#[cfg(test)]
mod conformance;
mod cpu;
mod decoder;
pub mod durable;
pub mod gguf;
pub mod hf_folder;
mod isa;
pub mod layout;
mod mmap;
pub mod optimizer;
pub mod params;
pub mod python_json;
pub mod quant;
pub mod safetensors_file;
pub mod schedule;
pub mod serving;

pub use config::{ConfigError, ModelConfig, TokenIds};
pub use decoder::{Batch, BatchShape, Decoder, IGNORED_TARGET, LossSum, MemoryPlan};
pub use isa::Isa;
pub use layout::{ParamLayout, ParamSpec};
pub use optimizer::{AdamW, AdamWConfig, clip_scale, global_norm};
pub use params::{Gradients, Weights};
pub use schedule::{LrSchedule, LrShape};
