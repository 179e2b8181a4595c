//! A weight matrix `[rows, columns]` packed for 16-row panels.
//!
//! Sixteen rows lie interleaved so that each vector lane owns one output row and no sum ever crosses lanes. A panel's
//! quantised block is a run of 64-byte lines; line `i` holds bytes `4i..4i+4` of each of the 16 rows' blocks. Scales
//! (and minima) lie apart, 16 f16 a block. Dense formats store one column of 16 rows after another. The panel is the
//! only copy of the weights: `row` reads single rows back (the embedding of a tied head).

use half::{bf16, f16};
use rayon::prelude::*;

use super::format::half_at;
use super::{BLOCK_LEN, Format, PANEL_ROWS};

/// Why bytes cannot become a matrix.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PackError {
    #[error("{columns} columns are not a multiple of the {block}-element block of {format:?}")]
    Columns { columns: usize, block: usize, format: Format },
    #[error("{rows} x {columns} in {format:?} needs {expected} bytes, {found} are there")]
    Length { rows: usize, columns: usize, format: Format, expected: usize, found: usize },
}

/// One cache line, so that no vector of weights lies across two.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A packed weight matrix.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Quants, or dense elements as bytes.
    data: Vec<Line>,
    pub(super) scales: Vec<[f16; PANEL_ROWS]>,
    pub(super) minima: Vec<[f16; PANEL_ROWS]>,
}

impl Matrix {
    /// Packs row-major `bytes`. Row `r` of the result is row `source_row(r)` of `bytes`.
    pub fn pack(
        format: Format,
        (rows, columns): (usize, usize),
        bytes: &[u8],
        source_row: impl Fn(usize) -> usize + Sync,
    ) -> Result<Self, PackError> {
        let block = format.block_len();
        if !columns.is_multiple_of(block) || columns == 0 {
            return Err(PackError::Columns { columns, block, format });
        }
        let row_bytes = format.num_bytes(columns);
        let expected = row_bytes.saturating_mul(rows);
        if bytes.len() != expected {
            return Err(PackError::Length { rows, columns, format, expected, found: bytes.len() });
        }
        let mut matrix = Self::zeros(format, rows, columns);
        matrix.fill(bytes, source_row);
        Ok(matrix)
    }

    fn zeros(format: Format, rows: usize, columns: usize) -> Self {
        let mut matrix = Self { format, rows, columns, data: Vec::new(), scales: Vec::new(), minima: Vec::new() };
        let panels = matrix.panels();
        matrix.data = bytemuck::allocation::zeroed_vec((panels * matrix.panel_bytes()).div_ceil(size_of::<Line>()));
        let blocks = if format.is_quantised() { panels * columns / BLOCK_LEN } else { 0 };
        matrix.scales = vec![[f16::ZERO; PANEL_ROWS]; blocks];
        matrix.minima = vec![[f16::ZERO; PANEL_ROWS]; if format == Format::Q4_1 { blocks } else { 0 }];
        matrix
    }

    /// Packs every panel; panels are independent, so they are packed in parallel.
    fn fill(&mut self, bytes: &[u8], source_row: impl Fn(usize) -> usize + Sync) {
        let (format, rows, panel_bytes) = (self.format, self.rows, self.panel_bytes());
        let (row_bytes, blocks) = (format.num_bytes(self.columns), self.columns.div_ceil(BLOCK_LEN));
        let mut scales: Vec<_> = self.scales.chunks_mut(blocks).collect();
        let mut minima: Vec<_> = self.minima.chunks_mut(blocks).collect();
        scales.resize_with(rows.div_ceil(PANEL_ROWS), Default::default);
        minima.resize_with(rows.div_ceil(PANEL_ROWS), Default::default);
        let data: &mut [u8] = bytemuck::cast_slice_mut(&mut self.data);
        let panels = data.par_chunks_exact_mut(panel_bytes).zip(scales).zip(minima);
        panels.enumerate().for_each(|(index, ((data, scales), minima))| {
            let mut panel = PanelMut { data, scales, minima };
            for lane in 0..PANEL_ROWS.min(rows - index * PANEL_ROWS) {
                let row = &bytes[source_row(index * PANEL_ROWS + lane) * row_bytes..][..row_bytes];
                match format {
                    Format::F32 => panel.put_dense::<4>(lane, row),
                    Format::F16 | Format::BF16 => panel.put_dense::<2>(lane, row),
                    Format::Q8_0 => panel.put_blocks::<34, 2, 0x80>(lane, row),
                    Format::Q4_0 => panel.put_blocks::<18, 2, 0>(lane, row),
                    Format::Q4_1 => panel.put_blocks::<20, 4, 0>(lane, row),
                }
            }
        });
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// Bytes of `data` that one panel takes.
    pub(super) fn panel_bytes(&self) -> usize {
        let row = match self.format {
            Format::Q8_0 => self.columns,
            Format::Q4_0 | Format::Q4_1 => self.columns / 2,
            dense => self.columns * dense.block_bytes(),
        };
        row * PANEL_ROWS
    }

    /// The quants or elements of one panel.
    pub(super) fn panel(&self, index: usize) -> &[u8] {
        let bytes = self.panel_bytes();
        &bytemuck::cast_slice(&self.data)[index * bytes..][..bytes]
    }

    /// Bytes of memory that the packed weights take.
    pub fn num_bytes(&self) -> u64 {
        (size_of_val(&self.data[..]) + size_of_val(&self.scales[..]) + size_of_val(&self.minima[..])) as u64
    }

    /// Expands row `row` into `out` (`columns` long), the same numbers as `dequantise` of the stored row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (row / PANEL_ROWS, row % PANEL_ROWS);
        let (data, panel_bytes) = (self.panel(panel), self.panel_bytes());
        if !self.format.is_quantised() {
            let size = self.format.block_bytes();
            for (column, out) in out.iter_mut().enumerate() {
                let element = &data[(column * PANEL_ROWS + lane) * size..][..size];
                *out = match self.format {
                    Format::F16 => half_at(element, 0).to_f32(),
                    Format::BF16 => bf16::from_le_bytes([element[0], element[1]]).to_f32(),
                    _ => f32::from_le_bytes([element[0], element[1], element[2], element[3]]),
                };
            }
            return;
        }
        let blocks = self.columns / BLOCK_LEN;
        for (index, out) in out.chunks_exact_mut(BLOCK_LEN).enumerate() {
            let at = panel * blocks + index;
            let minimum = self.minima.get(at).map_or(0.0, |minima| minima[lane].to_f32());
            self.block_row(&data[index * panel_bytes / blocks..][..panel_bytes / blocks], lane, |column, quant| {
                out[column] = quant * self.scales[at][lane].to_f32() + minimum;
            });
        }
    }

    fn block_row(&self, lines: &[u8], lane: usize, mut put: impl FnMut(usize, f32)) {
        for (index, line) in lines.chunks_exact(4 * PANEL_ROWS).enumerate() {
            for (k, &byte) in line[lane * 4..][..4].iter().enumerate() {
                let column = index * 4 + k;
                match self.format {
                    Format::Q8_0 => put(column, f32::from((byte ^ 0x80) as i8)),
                    format => {
                        let offset = if format == Format::Q4_0 { 8.0 } else { 0.0 };
                        put(column, f32::from(byte & 15) - offset);
                        put(column + BLOCK_LEN / 2, f32::from(byte >> 4) - offset);
                    }
                }
            }
        }
    }
}

/// One panel while it is packed.
struct PanelMut<'a> {
    data: &'a mut [u8],
    scales: &'a mut [[f16; PANEL_ROWS]],
    minima: &'a mut [[f16; PANEL_ROWS]],
}

impl PanelMut<'_> {
    fn put_dense<const SIZE: usize>(&mut self, lane: usize, row: &[u8]) {
        for (column, element) in self.data.chunks_exact_mut(SIZE * PANEL_ROWS).zip(row.as_chunks::<SIZE>().0) {
            column[lane * SIZE..][..SIZE].copy_from_slice(element);
        }
    }

    /// `BLOCK` bytes a stored block, of which the first `HEADER` are scale and minimum; `FLIP` makes quants unsigned.
    fn put_blocks<const BLOCK: usize, const HEADER: usize, const FLIP: u8>(&mut self, lane: usize, row: &[u8]) {
        let lines_bytes = (BLOCK - HEADER) * PANEL_ROWS;
        for (index, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
            self.scales[index][lane] = half_at(block, 0);
            if let Some(minima) = self.minima.get_mut(index) {
                minima[lane] = half_at(block, 2);
            }
            let lines = &mut self.data[index * lines_bytes..][..lines_bytes];
            let fours = block[HEADER..].as_chunks::<4>().0;
            for (line, four) in lines.chunks_exact_mut(4 * PANEL_ROWS).zip(fours) {
                line[lane * 4..][..4].copy_from_slice(&four.map(|byte| byte ^ FLIP));
            }
        }
    }
}
