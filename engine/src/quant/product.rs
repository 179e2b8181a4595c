//! One panel times all activation rows.
//!
//! Order of summation, the same in every implementation. Dense: `acc = fma(w[k], x[k], acc)` for k ascending.
//! Quantised: per block of 32 the exact integer `dot`, then `acc = fma(dot, d_w * d_x, acc)` and, for Q4_1,
//! `acc = fma(m, d_x * sum_x, acc)`, blocks ascending.

use half::{bf16, f16};

use super::{Activations, BLOCK_LEN, Format, Matrix, PANEL_ROWS};

type Lanes = [f32; PANEL_ROWS];

/// Writes `out[row][lane]` = panel `panel`'s 16 rows times activation row `row`.
pub(super) fn panel_product(matrix: &Matrix, panel: usize, input: &Activations, out: &mut [f32]) {
    for (row, out) in out.chunks_exact_mut(PANEL_ROWS).enumerate() {
        let lanes = if matrix.format.is_quantised() {
            quantised_row(matrix, panel, input, row)
        } else {
            dense_row(matrix, panel, &input.values[row * input.columns..][..input.columns])
        };
        out.copy_from_slice(&lanes);
    }
}

fn dense_row(matrix: &Matrix, panel: usize, input: &[f32]) -> Lanes {
    let bytes = matrix.panel_bytes();
    let data = &matrix.data[panel * bytes..][..bytes];
    let size = matrix.format.block_bytes();
    let mut acc = [0.0f32; PANEL_ROWS];
    for (column, &x) in data.chunks_exact(size * PANEL_ROWS).zip(input) {
        for (acc, w) in acc.iter_mut().zip(column.chunks_exact(size)) {
            let weight = match matrix.format {
                Format::F16 => f16::from_le_bytes([w[0], w[1]]).to_f32(),
                Format::BF16 => bf16::from_le_bytes([w[0], w[1]]).to_f32(),
                _ => f32::from_le_bytes([w[0], w[1], w[2], w[3]]),
            };
            *acc = weight.mul_add(x, *acc);
        }
    }
    acc
}

fn quantised_row(matrix: &Matrix, panel: usize, input: &Activations, row: usize) -> Lanes {
    let blocks = matrix.columns / BLOCK_LEN;
    let bytes = matrix.panel_bytes();
    let lines = &matrix.data[panel * bytes..][..bytes];
    let mut acc = [0.0f32; PANEL_ROWS];
    for (block, lines) in lines.chunks_exact(bytes / blocks).enumerate() {
        let at = row * blocks + block;
        let quants = &input.quants[at * BLOCK_LEN..][..BLOCK_LEN];
        let dots = block_dots(matrix.format, lines, quants, input.sums[at]);
        let weights = panel * blocks + block;
        let lanes = acc.iter_mut().zip(dots).zip(matrix.scales[weights]);
        lanes.for_each(|((acc, dot), d)| *acc = (dot as f32).mul_add(d.to_f32() * input.scales[at], *acc));
        if matrix.format == Format::Q4_1 {
            let sum = input.scales[at] * input.sums[at] as f32;
            let lanes = acc.iter_mut().zip(matrix.minima[weights]);
            lanes.for_each(|(acc, minimum)| *acc = minimum.to_f32().mul_add(sum, *acc));
        }
    }
    acc
}

/// Unsigned weight bytes times signed activations; the formats' offsets (128, 8, 0) enter through the sum.
fn block_dots(format: Format, lines: &[u8], quants: &[i8], sum: i32) -> [i32; PANEL_ROWS] {
    let offset = match format {
        Format::Q8_0 => 128,
        Format::Q4_0 => 8,
        _ => 0,
    };
    let mut dots = [-offset * sum; PANEL_ROWS];
    for (index, line) in lines.chunks_exact(4 * PANEL_ROWS).enumerate() {
        for (dot, four) in dots.iter_mut().zip(line.chunks_exact(4)) {
            for (k, &byte) in four.iter().enumerate() {
                let low = i32::from(quants[index * 4 + k]);
                *dot += if format == Format::Q8_0 {
                    i32::from(byte) * low
                } else {
                    let high = i32::from(quants[index * 4 + k + BLOCK_LEN / 2]);
                    i32::from(byte & 15) * low + i32::from(byte >> 4) * high
                };
            }
        }
    }
    dots
}
