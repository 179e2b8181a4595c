//! Attention of one token's query heads to its sequence's cached keys and values.
//!
//! Owns the order of its sums: scores by width ascending with positions in lanes, the softmax's sum with position `p` in
//! lane `p mod 16`, outputs by position ascending. None of it depends on the block size or on other rows. The scores of
//! one token are held whole (two passes), so that no sum is ever rescaled.

// Registers are arrays that several loops index alike.
#![allow(clippy::needless_range_loop)]

use rayon::prelude::*;

use super::kv_cache::{Geometry, KvCache, LayerCache, Layers};
use crate::{
    cpu::lanes::{Element, Kernel, LANES, Lanes, exp},
    isa::Isa,
};

/// Multiplications of one task: some ten microseconds, well above the cost of starting it.
const WORK_PER_TASK: usize = 1 << 19;

/// A token of the step: where its sequence's blocks are and how many positions it attends to, itself included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) block_table: &'a [u32],
    pub(super) len: usize,
}

/// Writes `out` `[rows, heads * head_dim]`. `queries` are rows of `query_stride`, rotated and scaled.
pub(super) fn attend(
    isa: Isa,
    cache: &KvCache,
    layer: usize,
    rows: &[Row<'_>],
    queries: (&[f32], usize),
    out: &mut [f32],
) {
    match &cache.layers {
        Layers::F32(layers) => attend_layer(isa, &layers[layer], cache.geometry, rows, queries, out),
        Layers::F16(layers) => attend_layer(isa, &layers[layer], cache.geometry, rows, queries, out),
    }
}

fn attend_layer<E: Element>(
    isa: Isa,
    cache: &LayerCache<E>,
    geometry: Geometry,
    rows: &[Row<'_>],
    (queries, query_stride): (&[f32], usize),
    out: &mut [f32],
) {
    let heads = geometry.num_heads;
    let group = out.len() / rows.len() / heads;
    let longest = rows.iter().map(|row| row.len).max().unwrap_or(1);
    let items_per_task = (WORK_PER_TASK / (2 * longest * group)).max(1);
    let items = out.par_chunks_mut(group).enumerate().with_min_len(items_per_task);
    items.for_each_init(Vec::new, |scores, (item, out)| {
        let (row, head) = (item / heads, item % heads);
        let query = &queries[row * query_stride + head * group..][..group];
        isa.run(Attend { cache, geometry, row: rows[row], head, query, scores, out });
    });
}

/// One row, one key and value head, and the query heads that share it.
struct Attend<'a, E> {
    cache: &'a LayerCache<E>,
    geometry: Geometry,
    row: Row<'a>,
    head: usize,
    query: &'a [f32],
    scores: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl<E: Element> Kernel for Attend<'_, E> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let (len, width) = (self.row.len, self.geometry.head_dim);
        let group = self.query.len() / width;
        let num_blocks = len.div_ceil(self.geometry.block_size);
        let stride = (num_blocks * self.geometry.block_size).next_multiple_of(LANES);
        self.scores.resize(group * stride, 0.0);
        let mut first = 0;
        while first < group {
            first += match group - first {
                4.. => self.heads::<L, 4>(first, stride),
                3 => self.heads::<L, 3>(first, stride),
                2 => self.heads::<L, 2>(first, stride),
                _ => self.heads::<L, 1>(first, stride),
            };
        }
    }
}

impl<E: Element> Attend<'_, E> {
    /// `G` query heads from `first`.
    #[inline(always)]
    fn heads<L: Lanes, const G: usize>(&mut self, first: usize, stride: usize) -> usize {
        self.score::<L, G>(first, stride);
        let mut totals = [0.0; G];
        for (total, scores) in totals.iter_mut().zip(self.scores[first * stride..].chunks_exact_mut(stride)) {
            scores[self.row.len..].fill(f32::NEG_INFINITY);
            *total = exponentials::<L>(scores);
        }
        let vectors = self.geometry.value_stride / LANES;
        let mut vector = 0;
        while vector < vectors {
            vector += match vectors - vector {
                4.. => self.mix::<L, G, 4>(first, stride, vector, &totals),
                2.. => self.mix::<L, G, 2>(first, stride, vector, &totals),
                _ => self.mix::<L, G, 1>(first, stride, vector, &totals),
            };
        }
        G
    }

    /// Products of the queries with every key.
    #[inline(always)]
    fn score<L: Lanes, const G: usize>(&mut self, first: usize, stride: usize) {
        let Geometry { head_dim, block_size, key_stride, .. } = self.geometry;
        let queries: [&[f32]; G] = std::array::from_fn(|g| &self.query[(first + g) * head_dim..][..head_dim]);
        for (index, block) in self.row.block_table.iter().enumerate().take(self.row.len.div_ceil(block_size)) {
            let keys = self.geometry.keys(&self.cache.keys, *block, self.head).as_chunks::<LANES>().0;
            for part in 0..key_stride / LANES {
                let mut sums = [L::splat(0.0); G];
                for (d, keys) in keys.iter().skip(part).step_by(key_stride / LANES).enumerate() {
                    let keys = E::widen::<L>(keys);
                    for g in 0..G {
                        sums[g] = keys.fma(L::splat(queries[g][d]), sums[g]);
                    }
                }
                let width = LANES.min(block_size - part * LANES);
                for (g, sum) in sums.into_iter().enumerate() {
                    let start = (first + g) * stride + index * block_size + part * LANES;
                    self.scores[start..][..width].copy_from_slice(&sum.to_array()[..width]);
                }
            }
        }
    }

    /// `C` vectors of the outputs from `vector`: values weighted by the exponentials, over their total.
    #[inline(always)]
    fn mix<L: Lanes, const G: usize, const C: usize>(
        &mut self,
        first: usize,
        stride: usize,
        vector: usize,
        totals: &[f32; G],
    ) -> usize {
        let Geometry { head_dim, block_size, value_stride, .. } = self.geometry;
        let weights: [&[f32]; G] = std::array::from_fn(|g| &self.scores[(first + g) * stride..][..self.row.len]);
        let mut sums = [[L::splat(0.0); C]; G];
        let starts = (0..self.row.len).step_by(block_size);
        for (start, block) in starts.zip(self.row.block_table) {
            let values = self.geometry.values(&self.cache.values, *block, self.head);
            let count = block_size.min(self.row.len - start);
            for (slot, values) in values.chunks_exact(value_stride).take(count).enumerate() {
                let values = values.as_chunks::<LANES>().0;
                for c in 0..C {
                    let value = E::widen::<L>(&values[vector + c]);
                    for g in 0..G {
                        sums[g][c] = value.fma(L::splat(weights[g][start + slot]), sums[g][c]);
                    }
                }
            }
        }
        for (g, (sums, total)) in sums.into_iter().zip(totals).enumerate() {
            let out = &mut self.out[(first + g) * head_dim..][..head_dim];
            let outs = out[vector * LANES..].chunks_mut(LANES);
            for (out, sum) in outs.zip(sums) {
                out.copy_from_slice(&sum.div(L::splat(*total)).to_array()[..out.len()]);
            }
        }
        C
    }
}

/// Replaces scores by `e^(score - largest)` and returns their sum.
#[inline(always)]
fn exponentials<L: Lanes>(scores: &mut [f32]) -> f32 {
    let vectors = scores.as_chunks_mut::<LANES>().0;
    let mut largest = L::splat(f32::NEG_INFINITY);
    for scores in &*vectors {
        largest = largest.max(L::load(scores));
    }
    let largest = L::splat(largest.reduce_max());
    let mut total = L::splat(0.0);
    for scores in vectors {
        let weights = exp(L::load(scores).sub(largest));
        total = total.add(weights);
        *scores = weights.to_array();
    }
    total.reduce_sum()
}
