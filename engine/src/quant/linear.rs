//! Matrices that read the same input (q, k and v; gate and up), computed as one parallel region.

use rayon::prelude::*;

use super::product::panel_product;
use super::{Activations, Matrix, PANEL_ROWS};

/// Matrices stacked by rows.
#[derive(Debug, Clone)]
pub struct Linear {
    parts: Vec<Matrix>,
}

impl Linear {
    /// Stacks `parts`, which all have the same number of columns.
    pub fn new(parts: Vec<Matrix>) -> Self {
        assert!(parts.windows(2).all(|pair| pair[0].columns == pair[1].columns), "parts read one input");
        Self { parts }
    }

    /// Rows of all parts together.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(Matrix::rows).sum()
    }

    pub fn columns(&self) -> usize {
        self.parts[0].columns
    }

    /// The only part; for matrices that are also read by row.
    pub fn first(&self) -> &Matrix {
        &self.parts[0]
    }

    /// `out[row] = weights x input[row]`, `[input rows, self.rows()]` row-major. `scratch` is reused between calls.
    pub fn forward(&self, input: &mut Activations, scratch: &mut Vec<f32>, out: &mut [f32]) {
        assert_eq!((input.columns, out.len()), (self.columns(), input.rows * self.rows()), "shapes agree");
        if self.parts.iter().any(|part| part.format.is_quantised()) {
            input.quantise();
        }
        let panels: Vec<(&Matrix, usize)> =
            self.parts.iter().flat_map(|part| (0..part.panels()).map(move |panel| (part, panel))).collect();
        let stride = input.rows * PANEL_ROWS;
        scratch.resize(panels.len() * stride, 0.0);
        scratch.par_chunks_mut(stride).zip(&panels).for_each(|(out, &(part, panel))| {
            panel_product(part, panel, input, out);
        });
        out.par_chunks_mut(self.rows()).enumerate().for_each(|(row, out)| self.gather(scratch, stride, row, out));
    }

    fn gather(&self, scratch: &[f32], stride: usize, row: usize, out: &mut [f32]) {
        let (mut panel, mut start) = (0, 0);
        for part in &self.parts {
            for out in out[start..start + part.rows].chunks_mut(PANEL_ROWS) {
                out.copy_from_slice(&scratch[panel * stride + row * PANEL_ROWS..][..out.len()]);
                panel += 1;
            }
            start += part.rows;
        }
    }
}
