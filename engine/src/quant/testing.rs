//! Deterministic values and stored bytes for tests.

use half::{bf16, f16};

use super::{BLOCK_LEN, Format};

/// Deterministic values in [-1, 1).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Random stored bytes of `elements` elements of magnitudes up to a fifth, small enough that a layer keeps its input's scale.
pub(crate) fn stored(format: Format, elements: usize, seed: u64) -> Vec<u8> {
    let values: Vec<f32> = noise(seed, elements).iter().map(|value| value / 5.0).collect();
    match format {
        Format::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Format::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Format::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        quantised => values.chunks(BLOCK_LEN).flat_map(|block| stored_block(quantised, block)).collect(),
    }
}

fn stored_block(format: Format, noise: &[f32]) -> Vec<u8> {
    let (largest_quant, num_quants) = if format == Format::Q8_0 { (128.0, 32) } else { (8.0, 16) };
    let step = (0.02 + 0.9 * noise[0].abs()) / largest_quant;
    let mut bytes = f16::from_f32(step).to_le_bytes().to_vec();
    if format == Format::Q4_1 {
        bytes.extend(f16::from_f32(-7.5 * step).to_le_bytes());
    }
    bytes.extend(noise.iter().map(|value| (value * 1e6) as i32 as u8).take(num_quants));
    bytes
}
