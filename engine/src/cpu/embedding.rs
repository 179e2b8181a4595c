//! Rows of the embedding, looked up and added back.

use rayon::prelude::*;

/// Rows one task copies.
const BLOCK_ROWS: usize = 64;
/// Parts of the vocabulary that gradients are added to side by side. Fixed, and each entry lies in one part, so that every
/// entry's sum runs over the tokens in their order.
const VOCABULARY_PARTS: usize = 32;

/// Writes `output[n] = table[tokens[n]]`, rows of `width`.
pub(crate) fn forward(table: &[f32], tokens: &[u32], output: &mut [f32], width: usize) {
    assert_eq!(output.len(), tokens.len() * width, "shapes agree");
    output.par_chunks_mut(BLOCK_ROWS * width).zip(tokens.par_chunks(BLOCK_ROWS)).for_each(|(output, tokens)| {
        for (row, token) in output.chunks_exact_mut(width).zip(tokens) {
            row.copy_from_slice(&table[*token as usize * width..][..width]);
        }
    });
}

/// Adds `d_output[n]` to `d_table[tokens[n]]`.
pub(crate) fn backward(d_output: &[f32], tokens: &[u32], d_table: &mut [f32], width: usize) {
    let entries = (d_table.len() / width).div_ceil(VOCABULARY_PARTS);
    d_table.par_chunks_mut(entries * width).enumerate().for_each(|(part, d_table)| {
        let first = part * entries;
        for (token, gradient) in tokens.iter().zip(d_output.chunks_exact(width)) {
            if let Some(entry) = (*token as usize).checked_sub(first).filter(|entry| *entry < d_table.len() / width) {
                let sums = &mut d_table[entry * width..][..width];
                sums.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
            }
        }
    });
}
