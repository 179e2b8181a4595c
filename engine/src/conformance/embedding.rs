//! Embedding: `y[n] = table[tokens[n]]`.

use super::{assert_close, noise, widen};
use crate::cpu::embedding;

const WIDTH: usize = 5;

/// `forward(table, tokens)` gives y; `backward(dy, tokens, entries)` gives what is added to the table's gradient.
fn conforms(forward: impl Fn(&[f32], &[u32]) -> Vec<f32>, backward: impl Fn(&[f32], &[u32], usize) -> Vec<f32>) {
    for (entries, rows) in [(1, 3), (2, 1), (100, 300)] {
        let tokens: Vec<u32> = (0..rows).map(|row| (row * row * 7 % entries) as u32).collect();
        let (table, dy) = (noise(1, entries * WIDTH), noise(2, rows * WIDTH));
        let picked: Vec<f64> =
            tokens.iter().flat_map(|token| widen(&table[*token as usize * WIDTH..][..WIDTH])).collect();
        assert_close("y", &forward(&table, &tokens), &picked, 0.0);
        let mut sums = vec![0.0; entries * WIDTH];
        for (row, token) in tokens.iter().enumerate() {
            (0..WIDTH).for_each(|i| sums[*token as usize * WIDTH + i] += f64::from(dy[row * WIDTH + i]));
        }
        assert_close("d_table", &backward(&dy, &tokens, entries), &sums, 1e-6);
    }
}

#[test]
fn cpu_embedding_conforms() {
    let forward = |table: &[f32], tokens: &[u32]| {
        let mut y = vec![f32::NAN; tokens.len() * WIDTH];
        embedding::forward(table, tokens, &mut y, WIDTH);
        y
    };
    let backward = |dy: &[f32], tokens: &[u32], entries: usize| {
        let mut d_table = vec![0.0; entries * WIDTH];
        embedding::backward(dy, tokens, &mut d_table, WIDTH);
        d_table
    };
    conforms(forward, backward);
}
