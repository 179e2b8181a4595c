//! Panels times activation rows.
//!
//! Order of summation, the same in every implementation. Dense: `acc = fma(w[k], x[k], acc)` for k ascending.
//! Quantised: per block of 32 the exact integer `dot`, then `acc = fma(dot, d_w * d_x, acc)` and, for Q4_1,
//! `acc = fma(m, d_x * sum_x, acc)`, blocks ascending. Lanes are output rows and never meet, and several activation rows
//! or panels go through the registers together only to read each weight once: no sum depends on which ones.

use std::ops::Range;

use super::activations::BlockQuants;
use super::{Activations, BLOCK_LEN, Format, Matrix, PANEL_ROWS};
use crate::cpu::lanes::{Kernel, Lanes};

/// Bytes that hold one column of a panel in f32, or four of a quantised panel.
const LINE: usize = 4 * PANEL_ROWS;

/// The product of some panels with some activation rows, and where it goes.
pub(super) struct Tile<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) panels: Range<usize>,
    pub(super) input: &'a Activations,
    pub(super) rows: Range<usize>,
    /// Row `rows.start`, panel `panels.start` begins here.
    pub(super) out: &'a mut [f32],
    /// From one activation row to the next.
    pub(super) row_stride: usize,
    /// From one panel to the next.
    pub(super) panel_stride: usize,
}

impl Kernel for Tile<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let mut row = self.rows.start;
        while row < self.rows.end {
            row += match self.rows.end - row {
                8.. => self.wide::<L, 8>(row),
                4.. => self.wide::<L, 4>(row),
                2.. => self.wide::<L, 2>(row),
                _ => self.wide::<L, 1>(row),
            };
        }
    }
}

impl Tile<'_> {
    /// All panels for `R` rows from `row`.
    #[inline(always)]
    fn wide<L: Lanes, const R: usize>(&mut self, row: usize) -> usize {
        for panel in self.panels.clone() {
            let sums: [L; R] = match self.matrix.format {
                Format::F32 => self.dense::<L, 64, R>(panel, row, |bytes| L::load(&floats(bytes))),
                Format::F16 => self.dense::<L, 32, R>(panel, row, L::load_f16),
                Format::BF16 => self.dense::<L, 32, R>(panel, row, L::load_bf16),
                Format::Q8_0 => self.quantised::<L, 128, R>(panel, row, eight_bits::<L, R>),
                Format::Q4_0 => self.quantised::<L, 8, R>(panel, row, four_bits::<L, R>),
                Format::Q4_1 => self.quantised::<L, 0, R>(panel, row, four_bits::<L, R>),
            };
            self.put(panel, row, sums);
        }
        R
    }

    #[inline(always)]
    fn put<L: Lanes, const R: usize>(&mut self, panel: usize, row: usize, sums: [L; R]) {
        let start = (panel - self.panels.start) * self.panel_stride + (row - self.rows.start) * self.row_stride;
        let width = PANEL_ROWS.min(self.matrix.rows - panel * PANEL_ROWS);
        for (index, sum) in sums.into_iter().enumerate() {
            self.out[start + index * self.row_stride..][..width].copy_from_slice(&sum.to_array()[..width]);
        }
    }

    /// `SIZE` is the bytes of one column.
    #[inline(always)]
    fn dense<L: Lanes, const SIZE: usize, const R: usize>(
        &self,
        panel: usize,
        row: usize,
        widen: impl Fn(&[u8; SIZE]) -> L,
    ) -> [L; R] {
        let columns = self.matrix.columns;
        let weights = self.matrix.panel(panel).as_chunks::<SIZE>().0;
        let inputs: [&[f32]; R] = std::array::from_fn(|r| &self.input.values[(row + r) * columns..][..columns]);
        let mut sums = [L::splat(0.0); R];
        for (column, weight) in weights.iter().enumerate() {
            let weight = widen(weight);
            for (sum, input) in sums.iter_mut().zip(&inputs) {
                *sum = weight.fma(L::splat(input[column]), *sum);
            }
        }
        sums
    }

    /// `OFFSET` is what the stored unsigned quants are above the signed ones.
    #[inline(always)]
    fn quantised<L: Lanes, const OFFSET: i32, const R: usize>(
        &self,
        panel: usize,
        row: usize,
        dots: impl Fn(&[[u8; LINE]], [&BlockQuants; R], [i32; R]) -> [L::Ints; R],
    ) -> [L; R] {
        let blocks = self.matrix.columns / BLOCK_LEN;
        let lines = self.matrix.panel(panel).as_chunks::<LINE>().0;
        let scales = &self.matrix.scales[panel * blocks..][..blocks];
        let minima = self.matrix.minima.get(panel * blocks..).unwrap_or_default();
        let quants: [_; R] = std::array::from_fn(|r| &self.input.quants[(row + r) * blocks..][..blocks]);
        let input_scales: [_; R] = std::array::from_fn(|r| &self.input.scales[(row + r) * blocks..][..blocks]);
        let mut sums = [L::splat(0.0); R];
        for (block, lines) in lines.chunks_exact(lines.len() / blocks).enumerate() {
            let scale = L::load_f16(bytemuck::cast_ref(&scales[block]));
            let inputs = input_scales.map(|scales| scales[block]);
            let starts = inputs.map(|input| -OFFSET * input.sum);
            let dots = dots(lines, quants.map(|quants| &quants[block]), starts);
            for r in 0..R {
                sums[r] = L::to_floats(dots[r]).fma(scale.mul(L::splat(inputs[r].step)), sums[r]);
            }
            if let Some(minimum) = minima.get(block) {
                let minimum = L::load_f16(bytemuck::cast_ref(minimum));
                for r in 0..R {
                    sums[r] = minimum.fma(L::splat(inputs[r].total), sums[r]);
                }
            }
        }
        sums
    }
}

#[inline(always)]
fn floats(bytes: &[u8; LINE]) -> [f32; PANEL_ROWS] {
    bytemuck::pod_read_unaligned(bytes)
}

#[inline(always)]
fn eight_bits<L: Lanes, const R: usize>(
    lines: &[[u8; LINE]],
    quants: [&BlockQuants; R],
    starts: [i32; R],
) -> [L::Ints; R] {
    let lines: &[_; BLOCK_LEN / 4] = lines.first_chunk().expect("a block has eight lines");
    let (mut low, mut high) = (starts.map(L::ints), [L::ints(0); R]);
    for (index, line) in lines.iter().enumerate() {
        let weights = L::bytes(line);
        for r in 0..R {
            low[r] = L::dot(low[r], weights, four(&quants[r].low, index));
            high[r] = L::dot(high[r], weights, four(&quants[r].high, index));
        }
    }
    std::array::from_fn(|r| L::join_bytes(high[r], low[r]))
}

/// The low nibbles are the block's first half, the high ones its second.
#[inline(always)]
fn four_bits<L: Lanes, const R: usize>(
    lines: &[[u8; LINE]],
    quants: [&BlockQuants; R],
    starts: [i32; R],
) -> [L::Ints; R] {
    const HALF: usize = BLOCK_LEN / 8;
    let lines: &[_; HALF] = lines.first_chunk().expect("a block has four lines");
    let (mut low, mut high) = (starts.map(L::ints), [L::ints(0); R]);
    for (index, line) in lines.iter().enumerate() {
        let weights = L::bytes(line);
        for (weights, index) in [(L::low_nibbles(weights), index), (L::high_nibbles(weights), HALF + index)] {
            for r in 0..R {
                low[r] = L::dot(low[r], weights, four(&quants[r].low, index));
                high[r] = L::dot(high[r], weights, four(&quants[r].high, index));
            }
        }
    }
    std::array::from_fn(|r| L::join_bytes(high[r], low[r]))
}

#[inline(always)]
fn four(bytes: &[i8; BLOCK_LEN], index: usize) -> [i8; 4] {
    bytes.as_chunks::<4>().0[index]
}
