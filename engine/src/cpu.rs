//! The CPU operations of training, forward and backward, at the grain of the model.
//!
//! Owns arithmetic and its parallelism, and is the only place of the engine with SIMD and `unsafe`. Every operation works
//! on slices that its caller allocated, runs on the caller's rayon pool, and splits its work at fixed places, so that no
//! result depends on the number of threads. Never allocates per token and knows nothing of models or parameters.
#![allow(unsafe_code)]

pub(crate) mod attention;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
mod gemm;
pub(crate) mod lanes;
pub(crate) mod linear;
pub(crate) mod rms_norm;
pub(crate) mod rope;
mod shared;
mod simd;
pub(crate) mod swiglu;
mod tile;
