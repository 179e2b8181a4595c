//! What happens to each token's row between matrix products: residual sum and RMSNorm, rotary embedding, SwiGLU.
//!
//! Owns these formulas and their split over threads (by rows, which never meet). Sums run over sixteen lanes, column `k`
//! in lane `k mod 16`, and the lanes are added halves onto halves.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    cpu::lanes::{Kernel, LANES, Lanes, exp},
    isa::Isa,
};

/// Rows of one task; one row takes about a microsecond, a task should take more than its start.
const ROWS_PER_TASK: usize = 8;

/// `x += delta`, then `out = x / sqrt(mean(x^2) + eps) * weight` for every row of `weight.len()` (Zhang and Sennrich 2019).
pub(super) fn add_and_norm(isa: Isa, x: &mut [f32], delta: &[f32], norm: &Norm<'_>, out: &mut [f32]) {
    let len = ROWS_PER_TASK * norm.weight.len();
    let rows = x.par_chunks_mut(len).zip(out.par_chunks_mut(len));
    rows.enumerate().for_each(|(task, (x, out))| {
        let delta = &delta[task * len..][..x.len()];
        isa.run(AddAndNorm { x, delta, norm, out });
    });
}

/// Parameters of one RMSNorm.
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) eps: f32,
}

struct AddAndNorm<'a> {
    x: &'a mut [f32],
    delta: &'a [f32],
    norm: &'a Norm<'a>,
    out: &'a mut [f32],
}

impl Kernel for AddAndNorm<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let width = self.norm.weight.len();
        let rows = self.x.chunks_exact_mut(width).zip(self.delta.chunks_exact(width));
        for ((x, delta), out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let mut squares = L::splat(0.0);
            for part in parts(width) {
                let sum = padded::<L>(&x[part.clone()]).add(padded(&delta[part.clone()]));
                put(sum, &mut x[part]);
                squares = sum.fma(sum, squares);
            }
            let mean = squares.reduce_sum() / width as f32;
            let scale = L::splat(1.0 / (mean + self.norm.eps).sqrt());
            for part in parts(width) {
                let normed = padded::<L>(&x[part.clone()]).mul(scale);
                put(normed.mul(padded(&self.norm.weight[part.clone()])), &mut out[part]);
            }
        }
    }
}

/// `out = silu(gate) * up` for rows `[gate, up]` of `2 * width` (Shazeer 2020).
pub(super) fn swiglu(isa: Isa, gate_up: &[f32], width: usize, out: &mut [f32]) {
    let gate_up = gate_up.par_chunks(ROWS_PER_TASK * 2 * width);
    out.par_chunks_mut(ROWS_PER_TASK * width)
        .zip(gate_up)
        .for_each(|(out, gate_up)| isa.run(SwiGlu { gate_up, width, out }));
}

struct SwiGlu<'a> {
    gate_up: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for SwiGlu<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let rows = self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width));
        for (gate_up, out) in rows {
            let (gate, up) = gate_up.split_at(self.width);
            for part in parts(self.width) {
                let (gate, up) = (padded::<L>(&gate[part.clone()]), padded::<L>(&up[part.clone()]));
                let divisor = exp(L::splat(0.0).sub(gate)).add(L::splat(1.0));
                put(gate.mul(up).div(divisor), &mut out[part]);
            }
        }
    }
}

/// Cosines and sines of a step's positions (Su et al. 2021), `[rows, head_dim / 2]`, computed in f64.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotations {
    /// Fills the tables for `positions`: pair `i` turns by `position / theta^(2i / head_dim)`.
    pub(super) fn prepare(&mut self, positions: impl Iterator<Item = usize>, head_dim: usize, theta: f64) {
        self.half = head_dim / 2;
        self.cos.clear();
        self.sin.clear();
        let frequencies: Vec<f64> =
            (0..self.half).map(|pair| theta.powf(-((2 * pair) as f64) / head_dim as f64)).collect();
        for position in positions {
            for frequency in &frequencies {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Turns the heads at the beginning of row `row`; pairs are `(i, i + head_dim / 2)`. The first `scaled` numbers (the
    /// queries) are multiplied by `scale` too.
    pub(super) fn rotate(&self, isa: Isa, row: usize, heads: &mut [f32], (scaled, scale): (usize, f32)) {
        let table = row * self.half..(row + 1) * self.half;
        let (cos, sin) = (&self.cos[table.clone()], &self.sin[table]);
        let (queries, keys) = heads.split_at_mut(scaled);
        isa.run(Rotate { heads: queries, cos, sin, scale });
        isa.run(Rotate { heads: keys, cos, sin, scale: 1.0 });
    }
}

struct Rotate<'a> {
    heads: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    scale: f32,
}

impl Kernel for Rotate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let half = self.cos.len();
        let scale = L::splat(self.scale);
        for head in self.heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for part in parts(half) {
                let (cos, sin) = (padded::<L>(&self.cos[part.clone()]), padded::<L>(&self.sin[part.clone()]));
                let (a, b) = (padded::<L>(&first[part.clone()]), padded::<L>(&second[part.clone()]));
                let minus_b = L::splat(0.0).sub(b);
                put(a.fma(cos, minus_b.mul(sin)).mul(scale), &mut first[part.clone()]);
                put(b.fma(cos, a.mul(sin)).mul(scale), &mut second[part]);
            }
        }
    }
}

/// The vectors of a row, the last one perhaps not full.
fn parts(width: usize) -> impl Iterator<Item = Range<usize>> {
    (0..width).step_by(LANES).map(move |start| start..width.min(start + LANES))
}

/// At most sixteen numbers, the other lanes zero.
#[inline(always)]
fn padded<L: Lanes>(values: &[f32]) -> L {
    if let Some(whole) = values.first_chunk() {
        return L::load(whole);
    }
    let mut lanes = [0.0; LANES];
    lanes[..values.len()].copy_from_slice(values);
    L::load(&lanes)
}

/// Writes as many lanes as `out` has room for.
#[inline(always)]
fn put<L: Lanes>(lanes: L, out: &mut [f32]) {
    match out.first_chunk_mut() {
        Some(whole) => *whole = lanes.to_array(),
        None => out.copy_from_slice(&lanes.to_array()[..out.len()]),
    }
}
