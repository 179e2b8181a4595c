//! Attention, backward: probabilities are made again tile by tile from the saved logarithm of their sum.
//!
//! With probabilities p of a query, output gradient do and output o: `dv += p^T do`, `dp = do v^T`,
//! `ds = p * (dp - do . o)`, `dq = scale * ds k`, `dk = scale * ds^T q`.

use rayon::prelude::*;

use super::tiles::{HeadColumns, Visible, along, carve, probabilities, score_gradients};
use super::{Inputs, Shape, TILE};
use crate::cpu::{
    shared::SharedSlice,
    tile::{Left, Sizes, multiply, multiply_add},
};

/// What backward reads beside the inputs, and writes.
pub(crate) struct Gradients<'a> {
    /// What forward gave, `[rows, heads * head_dim]`.
    pub attention: &'a [f32],
    /// What forward gave, `[sequences, heads, sequence_length]`.
    pub log_sum_exp: &'a [f32],
    /// Gradient of `attention`.
    pub d_attention: &'a [f32],
    /// Written: gradient of `qkv`, `[rows, (heads + 2 * kv_heads) * head_dim]`.
    pub d_qkv: &'a mut [f32],
}

pub(super) fn scratch_len(shape: &Shape) -> usize {
    5 * shape.padded_length() * shape.head_dim + 3 * TILE * shape.head_dim + 2 * TILE * TILE + TILE
}

/// Computes the gradients of every head. `scratch` has [`Shape::scratch_len`] elements for each sequence and key/value head.
pub(crate) fn backward(inputs: Inputs<'_>, gradients: Gradients<'_>, scratch: &mut [f32], shape: &Shape) {
    let rows = inputs.starts.len();
    assert_eq!((inputs.qkv.len(), gradients.d_qkv.len()), (rows * shape.qkv_width(), rows * shape.qkv_width()));
    assert_eq!(gradients.d_attention.len(), rows * shape.heads * shape.head_dim, "shapes agree");
    let Gradients { attention, log_sum_exp, d_attention, d_qkv } = gradients;
    let d_qkv = SharedSlice::new(d_qkv);
    let tasks = rows / shape.sequence_length * shape.kv_heads;
    scratch.par_chunks_exact_mut(shape.scratch_len()).take(tasks).enumerate().for_each(|(task, scratch)| {
        let (sequence, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
        let saved = Saved { attention, log_sum_exp, d_attention };
        let mut group = Group::new(inputs, saved, shape, (sequence, kv_head), scratch);
        for head in kv_head * shape.group()..(kv_head + 1) * shape.group() {
            group.head(head, &d_qkv);
        }
        group.write_keys_and_values(kv_head, &d_qkv);
    });
}

#[derive(Clone, Copy)]
struct Saved<'a> {
    attention: &'a [f32],
    log_sum_exp: &'a [f32],
    d_attention: &'a [f32],
}

/// One key/value head of one sequence.
struct Group<'a> {
    shape: &'a Shape,
    sequence: usize,
    inputs: Inputs<'a>,
    saved: Saved<'a>,
    keys: &'a mut [f32],
    keys_transposed: &'a mut [f32],
    values_transposed: &'a mut [f32],
    d_keys: &'a mut [f32],
    d_values: &'a mut [f32],
    queries: &'a mut [f32],
    d_queries: &'a mut [f32],
    d_output: &'a mut [f32],
    along: &'a mut [f32],
    probabilities: &'a mut [f32],
    d_scores: &'a mut [f32],
}

impl<'a> Group<'a> {
    fn new(
        inputs: Inputs<'a>,
        saved: Saved<'a>,
        shape: &'a Shape,
        (sequence, kv_head): (usize, usize),
        mut scratch: &'a mut [f32],
    ) -> Self {
        let (length, head_dim) = (shape.sequence_length, shape.head_dim);
        let rows = sequence * length..(sequence + 1) * length;
        let whole_rows = |values: &'a [f32], width: usize| &values[rows.start * width..rows.end * width];
        let qkv = whole_rows(inputs.qkv, shape.qkv_width());
        let inputs = Inputs { qkv, starts: &inputs.starts[rows.clone()], ..inputs };
        let saved = Saved {
            attention: whole_rows(saved.attention, shape.heads * head_dim),
            log_sum_exp: whole_rows(saved.log_sum_exp, shape.heads),
            d_attention: whole_rows(saved.d_attention, shape.heads * head_dim),
        };
        let rest = &mut scratch;
        let whole = shape.padded_length() * head_dim;
        let mut group = Self {
            shape,
            sequence,
            inputs,
            saved,
            keys: carve(rest, whole),
            keys_transposed: carve(rest, whole),
            values_transposed: carve(rest, whole),
            d_keys: carve(rest, whole),
            d_values: carve(rest, whole),
            queries: carve(rest, TILE * head_dim),
            d_queries: carve(rest, TILE * head_dim),
            d_output: carve(rest, TILE * head_dim),
            along: carve(rest, TILE),
            probabilities: carve(rest, TILE * TILE),
            d_scores: carve(rest, TILE * TILE),
        };
        group.load_keys_and_values(kv_head);
        group
    }

    fn qkv_head(&self, head: usize) -> HeadColumns<'a> {
        let head_dim = self.shape.head_dim;
        HeadColumns { rows: self.inputs.qkv, width: self.shape.qkv_width(), column: head * head_dim, head_dim }
    }

    fn load_keys_and_values(&mut self, kv_head: usize) {
        let keys = self.qkv_head(self.shape.heads + kv_head);
        keys.copy(0, 1.0, self.keys);
        keys.copy_transposed(self.keys_transposed);
        self.qkv_head(self.shape.heads + self.shape.kv_heads + kv_head).copy_transposed(self.values_transposed);
        self.d_keys.fill(0.0);
        self.d_values.fill(0.0);
    }

    fn head(&mut self, head: usize, d_qkv: &SharedSlice<'_>) {
        let length = self.shape.sequence_length;
        for tile in 0..length.div_ceil(TILE) {
            let rows = TILE.min(length - tile * TILE);
            self.load_queries(head, tile, rows);
            let first = self.inputs.starts[tile * TILE] as usize / TILE;
            for key_tile in first..=tile {
                self.pair(head, (tile, key_tile), rows);
            }
            self.write_rows(
                head,
                tile * TILE,
                &self.d_queries[..rows * self.shape.head_dim],
                self.shape.scale(),
                d_qkv,
            );
        }
    }

    fn load_queries(&mut self, head: usize, tile: usize, rows: usize) {
        let head_dim = self.shape.head_dim;
        let columns = |values| HeadColumns {
            rows: values,
            width: self.shape.heads * head_dim,
            column: head * head_dim,
            head_dim,
        };
        let (output, d_output) = (columns(self.saved.attention), columns(self.saved.d_attention));
        self.qkv_head(head).copy(tile * TILE, self.shape.scale(), self.queries);
        d_output.copy(tile * TILE, 1.0, self.d_output);
        for (index, sum) in self.along[..rows].iter_mut().enumerate() {
            *sum = along(self.inputs.isa, d_output.row(tile * TILE + index), output.row(tile * TILE + index));
        }
        self.d_queries.fill(0.0);
    }

    /// One tile of queries against one tile of keys.
    fn pair(&mut self, head: usize, (tile, key_tile): (usize, usize), rows: usize) {
        let (isa, head_dim) = (self.inputs.isa, self.shape.head_dim);
        let block = key_tile * TILE * head_dim..(key_tile + 1) * TILE * head_dim;
        let by_keys = Sizes { m: rows, n: TILE, k: head_dim };
        let to_keys = Sizes { m: TILE, n: head_dim, k: rows };
        let rows_of = |values| Left { values, row: head_dim, column: 1 };
        multiply(isa, self.probabilities, rows_of(&*self.queries), &self.keys_transposed[block.clone()], by_keys);
        let mut visible = [Visible::new(0, 0, 0); TILE];
        for (index, visible) in visible[..rows].iter_mut().enumerate() {
            let position = tile * TILE + index;
            *visible = Visible::new(position, self.inputs.starts[position], key_tile);
        }
        let log_sum_exp = &self.saved.log_sum_exp[head * self.shape.sequence_length + tile * TILE..][..rows];
        probabilities(isa, self.probabilities, &visible[..rows], log_sum_exp);
        let transposed = |values| Left { values, row: 1, column: TILE };
        multiply_add(isa, &mut self.d_values[block.clone()], transposed(&*self.probabilities), self.d_output, to_keys);
        multiply(isa, self.d_scores, rows_of(&*self.d_output), &self.values_transposed[block.clone()], by_keys);
        score_gradients(isa, self.d_scores, self.probabilities, &self.along[..rows]);
        let d_scores = Left { values: &*self.d_scores, row: TILE, column: 1 };
        multiply_add(isa, self.d_queries, d_scores, &self.keys[block.clone()], Sizes { m: rows, n: head_dim, k: TILE });
        multiply_add(isa, &mut self.d_keys[block], transposed(&*self.d_scores), self.queries, to_keys);
    }

    fn write_keys_and_values(&self, kv_head: usize, d_qkv: &SharedSlice<'_>) {
        let whole = self.shape.sequence_length * self.shape.head_dim;
        let first_key = self.shape.heads + kv_head;
        self.write_rows(first_key, 0, &self.d_keys[..whole], 1.0, d_qkv);
        self.write_rows(first_key + self.shape.kv_heads, 0, &self.d_values[..whole], 1.0, d_qkv);
    }

    /// Writes `values * factor` to column block `head` of `d_qkv`, from position `first` of this sequence on.
    fn write_rows(&self, head: usize, first: usize, values: &[f32], factor: f32, d_qkv: &SharedSlice<'_>) {
        let (width, head_dim) = (self.shape.qkv_width(), self.shape.head_dim);
        for (index, values) in values.chunks_exact(head_dim).enumerate() {
            let row = self.sequence * self.shape.sequence_length + first + index;
            // SAFETY: this task alone writes the rows of its sequence in the columns of its heads.
            let out = unsafe { d_qkv.part(row * width + head * head_dim, head_dim) };
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value * factor);
        }
    }
}
