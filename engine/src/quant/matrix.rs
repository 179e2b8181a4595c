//! A weight matrix `[rows, columns]` packed for 16-row panels.
//!
//! Sixteen rows lie interleaved so that each vector lane owns one output row and no sum ever crosses lanes. A panel's
//! quantised block is a run of 64-byte lines; line `i` holds bytes `4i..4i+4` of each of the 16 rows' blocks. Scales
//! (and minima) lie apart, 16 f16 a block. Dense formats store one column of 16 rows after another. The panel is the
//! only copy of the weights: `row` reads single rows back (the embedding of a tied head).

use half::{bf16, f16};

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

/// A packed weight matrix.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Quants, or dense elements as bytes.
    pub(super) data: Vec<u8>,
    pub(super) scales: Vec<[f16; PANEL_ROWS]>,
    pub(super) minima: Vec<[f16; PANEL_ROWS]>,
}

impl Matrix {
    /// Packs row-major `bytes`. Row `r` of the result is row `source_row(r)` of `bytes`.
    pub fn pack(
        format: Format,
        (rows, columns): (usize, usize),
        bytes: &[u8],
        source_row: impl Fn(usize) -> usize,
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
        let panels = rows.div_ceil(PANEL_ROWS);
        let mut matrix = Self { format, rows, columns, data: Vec::new(), scales: Vec::new(), minima: Vec::new() };
        matrix.data = vec![0; panels * matrix.panel_bytes()];
        let blocks = if format.is_quantised() { panels * columns / BLOCK_LEN } else { 0 };
        matrix.scales = vec![[f16::ZERO; PANEL_ROWS]; blocks];
        matrix.minima = vec![[f16::ZERO; PANEL_ROWS]; if format == Format::Q4_1 { blocks } else { 0 }];
        for row in 0..rows {
            let start = source_row(row) * row_bytes;
            matrix.pack_row(row, &bytes[start..start + row_bytes]);
        }
        Ok(matrix)
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

    fn pack_row(&mut self, row: usize, bytes: &[u8]) {
        let (panel, lane) = (row / PANEL_ROWS, row % PANEL_ROWS);
        let panel_bytes = self.panel_bytes();
        let data = &mut self.data[panel * panel_bytes..][..panel_bytes];
        if !self.format.is_quantised() {
            let size = self.format.block_bytes();
            for (column, element) in bytes.chunks_exact(size).enumerate() {
                data[(column * PANEL_ROWS + lane) * size..][..size].copy_from_slice(element);
            }
            return;
        }
        let blocks = self.columns / BLOCK_LEN;
        let (header, sign) = match self.format {
            Format::Q4_1 => (4, 0),
            Format::Q8_0 => (2, 0x80),
            _ => (2, 0),
        };
        for (index, block) in bytes.chunks_exact(self.format.block_bytes()).enumerate() {
            self.scales[panel * blocks + index][lane] = half_at(block, 0);
            if self.format == Format::Q4_1 {
                self.minima[panel * blocks + index][lane] = half_at(block, 2);
            }
            let quants = &block[header..];
            let lines = &mut data[index * quants.len() * PANEL_ROWS..][..quants.len() * PANEL_ROWS];
            for (line, four) in lines.chunks_exact_mut(4 * PANEL_ROWS).zip(quants.chunks_exact(4)) {
                line[lane * 4..][..4].iter_mut().zip(four).for_each(|(out, &byte)| *out = byte ^ sign);
            }
        }
    }

    /// Expands row `row` into `out` (`columns` long), the same numbers as `dequantise` of the stored row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (row / PANEL_ROWS, row % PANEL_ROWS);
        let panel_bytes = self.panel_bytes();
        let data = &self.data[panel * panel_bytes..][..panel_bytes];
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
