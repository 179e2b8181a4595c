//! Panels times activation rows.
//!
//! Order of summation, the same in every implementation. Dense: `acc = fma(w[k], x[k], acc)` for k ascending.
//! Quantised: per block of 32 the exact integer `dot`, then `acc = fma(dot, d_w * d_x, acc)` and, for Q4_1,
//! `acc = fma(m, d_x * sum_x, acc)`, blocks ascending. Lanes are output rows and never meet, and several activation rows
//! or panels go through the registers together only to read each weight once: no sum depends on which ones.

// Registers are arrays that several loops index alike.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use half::{bf16, f16};

use super::activations::{BlockQuants, BlockScale};
use super::matrix::{LINE, SCALES};
use super::{Activations, BLOCK_LEN, Format, Matrix, PANEL_ROWS};
use crate::cpu::lanes::{Element, Kernel, Lanes};

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
                Format::F32 => self.dense::<L, f32, R>(panel, row),
                Format::F16 => self.dense::<L, f16, R>(panel, row),
                Format::BF16 => self.dense::<L, bf16, R>(panel, row),
                Format::Q8_0 => self.quantised::<L, EightBits, R>(panel, row),
                Format::Q4_0 => self.quantised::<L, FourBits<8, 1>, R>(panel, row),
                Format::Q4_1 => self.quantised::<L, FourBits<0, 2>, R>(panel, row),
            };
            self.put(panel, row, sums);
        }
        R
    }

    #[inline(always)]
    fn put<L: Lanes, const R: usize>(&mut self, panel: usize, row: usize, sums: [L; R]) {
        let start = (panel - self.panels.start) * self.panel_stride + (row - self.rows.start) * self.row_stride;
        let width = PANEL_ROWS.min(self.matrix.rows - panel * PANEL_ROWS);
        for r in 0..R {
            let (lanes, out) = (sums[r].to_array(), &mut self.out[start + r * self.row_stride..]);
            // A copy of known length is one store; of unknown length it is a call.
            match out.first_chunk_mut() {
                Some(whole) if width == PANEL_ROWS => *whole = lanes,
                _ => out[..width].copy_from_slice(&lanes[..width]),
            }
        }
    }

    #[inline(always)]
    fn dense<L: Lanes, E: Element, const R: usize>(&self, panel: usize, row: usize) -> [L; R] {
        let columns = self.matrix.columns;
        let weights: &[[E; PANEL_ROWS]] = bytemuck::cast_slice(self.matrix.panel(panel));
        let inputs: [&[f32]; R] = std::array::from_fn(|r| &self.input.values[(row + r) * columns..][..columns]);
        let mut sums = [L::splat(0.0); R];
        for (column, weight) in weights.iter().enumerate() {
            let weight = E::widen::<L>(weight);
            for r in 0..R {
                sums[r] = weight.fma(L::splat(inputs[r][column]), sums[r]);
            }
        }
        sums
    }

    #[inline(always)]
    fn quantised<L: Lanes, Q: Quants, const R: usize>(&self, panel: usize, row: usize) -> [L; R] {
        let blocks = self.matrix.columns / BLOCK_LEN;
        let quants: [&[BlockQuants]; R] = std::array::from_fn(|r| &self.input.quants[(row + r) * blocks..][..blocks]);
        let inputs: [&[BlockScale]; R] = std::array::from_fn(|r| &self.input.scales[(row + r) * blocks..][..blocks]);
        let mut sums = [L::splat(0.0); R];
        for (block, record) in self.matrix.panel(panel).chunks_exact(Q::HALVES * SCALES + Q::LINES * LINE).enumerate() {
            let (halves, lines) = record.split_at(Q::HALVES * SCALES);
            let halves = halves.as_chunks::<SCALES>().0;
            let (mut low, mut high) = ([L::ints(0); R], [L::ints(0); R]);
            for r in 0..R {
                low[r] = L::ints(-Q::OFFSET * inputs[r][block].sum);
            }
            for (index, line) in lines.as_chunks::<LINE>().0.iter().enumerate() {
                Q::dots::<L, R>(line, index, &quants, block, (&mut low, &mut high));
            }
            let scale = L::load_f16(&halves[0]);
            for r in 0..R {
                let dot = L::to_floats(L::join_bytes(high[r], low[r]));
                sums[r] = dot.fma(scale.mul(L::splat(inputs[r][block].step)), sums[r]);
            }
            if let Some(minimum) = halves.get(1) {
                let minimum = L::load_f16(minimum);
                for r in 0..R {
                    sums[r] = minimum.fma(L::splat(inputs[r][block].total), sums[r]);
                }
            }
        }
        sums
    }
}

/// Adds one line's products with `R` activation rows to the sums of their low and high bytes.
trait Quants {
    /// What the stored unsigned quants are above the signed ones.
    const OFFSET: i32;
    /// f16 numbers a row and block: the scale, and the minimum if there is one.
    const HALVES: usize;
    /// Lines of a record.
    const LINES: usize;
    fn dots<L: Lanes, const R: usize>(
        line: &[u8; LINE],
        index: usize,
        quants: &[&[BlockQuants]; R],
        block: usize,
        sums: (&mut [L::Ints; R], &mut [L::Ints; R]),
    );
}

/// Line `i` holds the block's quants `4i..4i + 4`.
struct EightBits;

impl Quants for EightBits {
    const OFFSET: i32 = 128;
    const HALVES: usize = 1;
    const LINES: usize = BLOCK_LEN / 4;

    #[inline(always)]
    fn dots<L: Lanes, const R: usize>(
        line: &[u8; LINE],
        index: usize,
        quants: &[&[BlockQuants]; R],
        block: usize,
        (low, high): (&mut [L::Ints; R], &mut [L::Ints; R]),
    ) {
        let weights = L::bytes(line);
        for r in 0..R {
            low[r] = L::dot(low[r], weights, four(&quants[r][block].low, index));
            high[r] = L::dot(high[r], weights, four(&quants[r][block].high, index));
        }
    }
}

/// Line `i` holds the block's quants `4i..4i + 4` in the low nibbles and `16 + 4i..16 + 4i + 4` in the high ones.
struct FourBits<const OFFSET: i32, const HALVES: usize>;

impl<const OFFSET: i32, const HALVES: usize> Quants for FourBits<OFFSET, HALVES> {
    const OFFSET: i32 = OFFSET;
    const HALVES: usize = HALVES;
    const LINES: usize = BLOCK_LEN / 8;

    #[inline(always)]
    fn dots<L: Lanes, const R: usize>(
        line: &[u8; LINE],
        index: usize,
        quants: &[&[BlockQuants]; R],
        block: usize,
        (low, high): (&mut [L::Ints; R], &mut [L::Ints; R]),
    ) {
        let weights = L::bytes(line);
        let (first, second) = (L::low_nibbles(weights), L::high_nibbles(weights));
        for r in 0..R {
            let quants = &quants[r][block];
            low[r] = L::dot_nibbles(low[r], first, four(&quants.low, index));
            high[r] = L::dot_nibbles(high[r], first, four(&quants.high, index));
            low[r] = L::dot_nibbles(low[r], second, four(&quants.low, BLOCK_LEN / 8 + index));
            high[r] = L::dot_nibbles(high[r], second, four(&quants.high, BLOCK_LEN / 8 + index));
        }
    }
}

#[inline(always)]
fn four(bytes: &[i8; BLOCK_LEN], index: usize) -> [i8; 4] {
    bytes.as_chunks::<4>().0[index]
}
