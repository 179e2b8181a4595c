//! Weight matrices in their stored format, and their product with activations.
//!
//! Owns the formats (F32, F16, BF16, Q8_0, Q4_0, Q4_1), the packed layout and the dot products. Weights are never
//! expanded to f32 in memory. Every output element is summed in one fixed order that depends on the column count
//! alone, so it has the same bits whatever the batch, the thread count or the instruction set.

mod activations;
mod arena;
mod format;
mod linear;
mod matrix;
mod product;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use activations::Activations;
pub use arena::WeightArena;
pub use format::{Format, dequantise};
pub use linear::Linear;
pub use matrix::{Matrix, PackError};

/// Rows of a matrix that are stored interleaved and computed together: the f32 lanes of one AVX-512 register.
pub const PANEL_ROWS: usize = 16;
/// Elements that share one scale in the quantised formats.
pub const BLOCK_LEN: usize = 32;
