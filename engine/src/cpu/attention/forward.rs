//! Attention, forward: online softmax over the tiles of keys that a tile of queries sees.

use rayon::prelude::*;

use super::tiles::{HeadColumns, Running, Visible, absorb, carve};
use super::{Inputs, Shape, TILE};
use crate::{
    cpu::{
        shared::SharedSlice,
        tile::{Left, Sizes, multiply, multiply_add},
    },
    isa::Isa,
};

/// What forward writes.
pub(crate) struct Outputs<'a> {
    /// `[rows, heads * head_dim]`.
    pub attention: &'a mut [f32],
    /// Logarithm of the sum of exponentials of each query's scores, `[sequences, heads, sequence_length]`.
    pub log_sum_exp: &'a mut [f32],
}

pub(super) fn scratch_len(shape: &Shape) -> usize {
    2 * shape.padded_length() * shape.head_dim + 2 * TILE * shape.head_dim + TILE * TILE + 2 * TILE
}

/// Computes every head. `scratch` has [`Shape::scratch_len`] elements for each sequence and key/value head.
pub(crate) fn forward(inputs: Inputs<'_>, outputs: Outputs<'_>, scratch: &mut [f32], shape: &Shape) {
    let rows = inputs.starts.len();
    assert_eq!(inputs.qkv.len(), rows * shape.qkv_width(), "shapes agree");
    assert_eq!(outputs.attention.len(), rows * shape.heads * shape.head_dim, "shapes agree");
    let attention = SharedSlice::new(outputs.attention);
    let task_rows = shape.group() * shape.sequence_length;
    outputs
        .log_sum_exp
        .par_chunks_exact_mut(task_rows)
        .zip(scratch.par_chunks_exact_mut(shape.scratch_len()))
        .enumerate()
        .for_each(|(task, (log_sum_exp, scratch))| {
            let (sequence, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
            let mut group = Group::new(inputs, shape, sequence, kv_head, scratch);
            for (index, log_sum_exp) in log_sum_exp.chunks_exact_mut(shape.sequence_length).enumerate() {
                group.head(kv_head * shape.group() + index, &attention, log_sum_exp);
            }
        });
}

/// One key/value head of one sequence.
struct Group<'a> {
    shape: &'a Shape,
    sequence: usize,
    isa: Isa,
    qkv: &'a [f32],
    starts: &'a [u32],
    keys_transposed: &'a mut [f32],
    values: &'a mut [f32],
    queries: &'a mut [f32],
    output: &'a mut [f32],
    scores: &'a mut [f32],
    largest: &'a mut [f32],
    sums: &'a mut [f32],
}

impl<'a> Group<'a> {
    fn new(inputs: Inputs<'a>, shape: &'a Shape, sequence: usize, kv_head: usize, mut scratch: &'a mut [f32]) -> Self {
        let (length, width, head_dim) = (shape.sequence_length, shape.qkv_width(), shape.head_dim);
        let qkv = &inputs.qkv[sequence * length * width..][..length * width];
        let head = |head| HeadColumns { rows: qkv, width, column: head * head_dim, head_dim };
        let rest = &mut scratch;
        let keys_transposed = carve(rest, shape.padded_length() * head_dim);
        let values = carve(rest, shape.padded_length() * head_dim);
        head(shape.heads + kv_head).copy_transposed(keys_transposed);
        head(shape.heads + shape.kv_heads + kv_head).copy(0, 1.0, values);
        Self {
            shape,
            sequence,
            isa: inputs.isa,
            qkv,
            starts: &inputs.starts[sequence * length..][..length],
            keys_transposed,
            values,
            queries: carve(rest, TILE * head_dim),
            output: carve(rest, TILE * head_dim),
            scores: carve(rest, TILE * TILE),
            largest: carve(rest, TILE),
            sums: carve(rest, TILE),
        }
    }

    fn head(&mut self, head: usize, attention: &SharedSlice<'_>, log_sum_exp: &mut [f32]) {
        for (tile, log_sum_exp) in log_sum_exp.chunks_mut(TILE).enumerate() {
            self.query_tile(head, tile, log_sum_exp.len());
            let row_width = self.shape.heads * self.shape.head_dim;
            let rows = self.output.chunks_exact(self.shape.head_dim).zip(log_sum_exp).enumerate();
            for (index, (output, log_sum)) in rows {
                let (largest, sum) = (self.largest[index], self.sums[index]);
                *log_sum = largest + sum.ln();
                let row = self.sequence * self.shape.sequence_length + tile * TILE + index;
                // SAFETY: this task alone writes the rows of its sequence in the columns of its heads.
                let out = unsafe { attention.part(row * row_width + head * self.shape.head_dim, output.len()) };
                out.iter_mut().zip(output).for_each(|(out, value)| *out = value / sum);
            }
        }
    }

    fn query_tile(&mut self, head: usize, tile: usize, rows: usize) {
        let (width, head_dim) = (self.shape.qkv_width(), self.shape.head_dim);
        let queries = HeadColumns { rows: self.qkv, width, column: head * head_dim, head_dim };
        queries.copy(tile * TILE, self.shape.scale(), self.queries);
        self.output.fill(0.0);
        self.largest.fill(f32::NEG_INFINITY);
        self.sums.fill(0.0);
        let first = self.starts[tile * TILE] as usize / TILE;
        for key_tile in first..=tile {
            self.key_tile(tile, key_tile, rows);
        }
    }

    fn key_tile(&mut self, tile: usize, key_tile: usize, rows: usize) {
        let head_dim = self.shape.head_dim;
        let size = head_dim * TILE;
        let keys = &self.keys_transposed[key_tile * size..][..size];
        let queries = Left { values: self.queries, row: head_dim, column: 1 };
        multiply(self.isa, self.scores, queries, keys, Sizes { m: rows, n: TILE, k: head_dim });
        let mut visible = [Visible::new(0, 0, 0); TILE];
        for (index, visible) in visible[..rows].iter_mut().enumerate() {
            let position = tile * TILE + index;
            *visible = Visible::new(position, self.starts[position], key_tile);
        }
        let output = &mut self.output[..rows * head_dim];
        let running = Running { largest: self.largest, sums: self.sums, output };
        absorb(self.isa, self.scores, &visible[..rows], running);
        let weights = Left { values: self.scores, row: TILE, column: 1 };
        let values = &self.values[key_tile * size..][..size];
        multiply_add(self.isa, self.output, weights, values, Sizes { m: rows, n: head_dim, k: TILE });
    }
}
