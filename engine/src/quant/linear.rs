//! Matrices that read the same input (q, k and v; gate and up), computed as one parallel region.

use rayon::prelude::*;

use super::product::Tile;
use super::{Activations, Matrix, PANEL_ROWS};
use crate::isa::Isa;

/// Activation rows of one task when there are many: its quants stay in the first-level cache beside a panel.
const ROWS_PER_TASK: usize = 32;
/// Weight bytes of one task when there are few rows: about two microseconds of reading, so that tasks can be stolen
/// and still outweigh what starting one costs.
const BYTES_PER_TASK: usize = 1 << 16;

/// Matrices stacked by rows.
#[derive(Debug, Clone)]
pub struct Linear {
    parts: Vec<Matrix>,
    rows: usize,
    isa: Isa,
}

impl Linear {
    /// Stacks `parts`, which all have the same number of columns.
    pub fn new(parts: Vec<Matrix>) -> Self {
        assert!(parts.windows(2).all(|pair| pair[0].columns == pair[1].columns), "parts read one input");
        let rows = parts.iter().map(Matrix::rows).sum();
        Self { parts, rows, isa: Isa::detect() }
    }

    #[cfg(test)]
    pub(crate) fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Rows of all parts together.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.parts[0].columns
    }

    /// Bytes of memory the weights take.
    pub fn num_bytes(&self) -> u64 {
        self.parts.iter().map(Matrix::num_bytes).sum()
    }

    /// The only part; for matrices that are also read by row.
    pub fn first(&self) -> &Matrix {
        &self.parts[0]
    }

    /// `out[row] = weights x input[row]`, `[input rows, self.rows()]` row-major. `scratch` is reused between calls.
    pub fn forward(&self, input: &mut Activations, scratch: &mut Vec<f32>, out: &mut [f32]) {
        assert_eq!((input.columns, out.len()), (self.columns(), input.rows * self.rows), "shapes agree");
        if self.parts.iter().any(|part| part.format.is_quantised()) {
            input.quantise(self.isa);
        }
        if input.rows >= ROWS_PER_TASK * 2 {
            self.forward_by_rows(input, out);
        } else {
            self.forward_by_panels(input, scratch, out);
        }
    }

    /// Many rows: a task computes all outputs of some rows.
    fn forward_by_rows(&self, input: &Activations, out: &mut [f32]) {
        out.par_chunks_mut(ROWS_PER_TASK * self.rows).enumerate().for_each(|(task, out)| {
            let first = task * ROWS_PER_TASK;
            let rows = first..first + out.len() / self.rows;
            let mut start = 0;
            for matrix in &self.parts {
                let (rows, panels, out) = (rows.clone(), 0..matrix.panels(), &mut out[start..]);
                let (row_stride, panel_stride) = (self.rows, PANEL_ROWS);
                self.isa.run(Tile { matrix, panels, input, rows, out, row_stride, panel_stride });
                start += matrix.rows;
            }
        });
    }

    /// Few rows: a task reads some panels, and the outputs are gathered afterwards (those of one row lie right already).
    fn forward_by_panels(&self, input: &Activations, scratch: &mut Vec<f32>, out: &mut [f32]) {
        if input.rows == 1 {
            return self.run_panels(input, out, 1);
        }
        let num_panels: usize = self.parts.iter().map(Matrix::panels).sum();
        scratch.resize(num_panels * PANEL_ROWS * input.rows, 0.0);
        self.run_panels(input, scratch, PANEL_ROWS);
        out.par_chunks_mut(self.rows).enumerate().for_each(|(row, out)| self.gather(scratch, input.rows, row, out));
    }

    /// Writes panel after panel, each `[input rows, 16]`. A part takes room for its rows rounded up to `rounding`.
    fn run_panels(&self, input: &Activations, out: &mut [f32], rounding: usize) {
        let stride = input.rows * PANEL_ROWS;
        let mut rest = out;
        let mut tasks = Vec::new();
        for matrix in &self.parts {
            let (mine, others) = rest.split_at_mut(matrix.rows.next_multiple_of(rounding) * input.rows);
            rest = others;
            let panels_per_task = (BYTES_PER_TASK / matrix.panel_bytes()).max(1);
            tasks.extend(mine.chunks_mut(panels_per_task * stride).enumerate().map(|(index, out)| {
                let first = index * panels_per_task;
                let (panels, rows) = (first..first + out.len().div_ceil(stride), 0..input.rows);
                Tile { matrix, panels, input, rows, out, row_stride: PANEL_ROWS, panel_stride: stride }
            }));
        }
        tasks.into_par_iter().for_each(|tile| self.isa.run(tile));
    }

    fn gather(&self, scratch: &[f32], input_rows: usize, row: usize, out: &mut [f32]) {
        let mut panels = scratch.chunks_exact(input_rows * PANEL_ROWS);
        let mut rest = out;
        for part in &self.parts {
            let (mine, others) = rest.split_at_mut(part.rows);
            rest = others;
            for (out, panel) in mine.chunks_mut(PANEL_ROWS).zip(&mut panels) {
                let lanes: &[f32; PANEL_ROWS] = panel[row * PANEL_ROWS..].first_chunk().expect("a panel has all rows");
                match out.first_chunk_mut() {
                    Some(whole) => *whole = *lanes,
                    None => out.copy_from_slice(&lanes[..out.len()]),
                }
            }
        }
    }
}
