//! The storage formats and what their bytes mean. Block layouts: ggml's `block_q8_0`, `block_q4_0`, `block_q4_1`.

use half::{bf16, f16};

use super::BLOCK_LEN;

/// How a weight tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Format {
    F32,
    F16,
    BF16,
    /// 32 signed bytes and one f16 scale: `d * q`.
    Q8_0,
    /// 32 nibbles and one f16 scale: `d * (q - 8)`.
    Q4_0,
    /// 32 nibbles, one f16 scale and one f16 minimum: `d * q + m`.
    Q4_1,
}

impl Format {
    /// Elements in one block.
    pub fn block_len(self) -> usize {
        if self.is_quantised() { BLOCK_LEN } else { 1 }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
        }
    }

    pub fn is_quantised(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0 | Self::Q4_1)
    }

    /// Bytes of `elements` stored one after another; `elements` is a multiple of `block_len`.
    pub fn num_bytes(self, elements: usize) -> usize {
        elements / self.block_len() * self.block_bytes()
    }
}

pub(super) fn half_at(bytes: &[u8], offset: usize) -> f16 {
    f16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

/// Expands stored `bytes` into `out`, whose length is the number of elements.
pub fn dequantise(format: Format, bytes: &[u8], out: &mut [f32]) {
    let blocks = bytes.chunks_exact(format.block_bytes()).zip(out.chunks_exact_mut(format.block_len()));
    for (block, out) in blocks {
        match format {
            Format::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Format::F16 => out[0] = half_at(block, 0).to_f32(),
            Format::BF16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Format::Q8_0 => {
                let scale = half_at(block, 0).to_f32();
                out.iter_mut().zip(&block[2..]).for_each(|(out, &q)| *out = scale * f32::from(q as i8));
            }
            Format::Q4_0 => nibbles(&block[2..], out, half_at(block, 0).to_f32(), 8.0, 0.0),
            Format::Q4_1 => nibbles(&block[4..], out, half_at(block, 0).to_f32(), 0.0, half_at(block, 2).to_f32()),
        }
    }
}

fn nibbles(quants: &[u8], out: &mut [f32], scale: f32, offset: f32, minimum: f32) {
    let (low, high) = out.split_at_mut(BLOCK_LEN / 2);
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(quants) {
        *low = (f32::from(byte & 15) - offset) * scale + minimum;
        *high = (f32::from(byte >> 4) - offset) * scale + minimum;
    }
}
