//! A weight matrix `[rows, columns]` packed for 16-row panels.
//!
//! Sixteen rows lie interleaved so that each vector lane owns one output row and no sum ever crosses lanes. A panel's
//! quantised block is one record: 16 f16 scales, 16 f16 minima (Q4_1), then 64-byte lines of which line `i` holds bytes
//! `4i..4i+4` of each row's quants. Dense formats store one column of 16 rows after another. A panel is one run of
//! memory, as large as its rows in the file, and the only copy of the weights: `row` reads single rows back (the
//! embedding of a tied head).

use half::{bf16, f16};
use rayon::prelude::*;

use super::arena::Piece;
use super::format::half_at;
use super::{BLOCK_LEN, Format, PANEL_ROWS, WeightArena};

/// Bytes of 16 scales or minima.
pub(super) const SCALES: usize = 2 * PANEL_ROWS;
/// Bytes of one line of quants.
pub(super) const LINE: usize = 4 * PANEL_ROWS;

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
    data: Piece,
}

impl Matrix {
    /// Bytes that a packed matrix takes in an arena.
    pub fn packed_bytes(format: Format, (rows, columns): (usize, usize)) -> usize {
        rows.next_multiple_of(PANEL_ROWS) * format.num_bytes(columns)
    }

    /// Packs row-major `bytes` into `arena`. Row `r` of the result is row `source_row(r)` of `bytes`.
    pub fn pack(
        arena: &mut WeightArena,
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
        let (data, memory) = arena.take(Self::packed_bytes(format, (rows, columns)));
        memory.par_chunks_exact_mut(row_bytes * PANEL_ROWS).enumerate().for_each(|(index, panel)| {
            for lane in 0..PANEL_ROWS.min(rows - index * PANEL_ROWS) {
                let row = &bytes[source_row(index * PANEL_ROWS + lane) * row_bytes..][..row_bytes];
                match format {
                    Format::F32 => put_elements::<4>(panel, lane, row),
                    Format::F16 | Format::BF16 => put_elements::<2>(panel, lane, row),
                    // Flipping the sign bit adds 128: the dot product takes unsigned weights.
                    Format::Q8_0 => put_blocks::<34, 1, 0x80>(panel, lane, row),
                    Format::Q4_0 => put_blocks::<18, 1, 0>(panel, lane, row),
                    Format::Q4_1 => put_blocks::<20, 2, 0>(panel, lane, row),
                }
            }
        });
        Ok(Self { format, rows, columns, data })
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

    /// Bytes of memory that the packed weights take.
    pub fn num_bytes(&self) -> u64 {
        self.data.len() as u64
    }

    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// Bytes of one panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.format.num_bytes(self.columns) * PANEL_ROWS
    }

    pub(super) fn panel(&self, index: usize) -> &[u8] {
        let bytes = self.panel_bytes();
        &self.data.bytes()[index * bytes..][..bytes]
    }

    /// Expands row `row` into `out` (`columns` long), the same numbers as `dequantise` of the stored row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (self.panel(row / PANEL_ROWS), row % PANEL_ROWS);
        if self.format.is_quantised() {
            let records = panel.chunks_exact(self.format.block_bytes() * PANEL_ROWS);
            records
                .zip(out.chunks_exact_mut(BLOCK_LEN))
                .for_each(|(record, out)| block_row(self.format, record, lane, out));
            return;
        }
        let size = self.format.block_bytes();
        for (column, out) in panel.chunks_exact(size * PANEL_ROWS).zip(out) {
            let element = &column[lane * size..][..size];
            *out = match self.format {
                Format::F16 => half_at(element, 0).to_f32(),
                Format::BF16 => bf16::from_le_bytes([element[0], element[1]]).to_f32(),
                _ => f32::from_le_bytes([element[0], element[1], element[2], element[3]]),
            };
        }
    }
}

fn put_elements<const SIZE: usize>(panel: &mut [u8], lane: usize, row: &[u8]) {
    for (column, element) in panel.chunks_exact_mut(SIZE * PANEL_ROWS).zip(row.as_chunks::<SIZE>().0) {
        column[lane * SIZE..][..SIZE].copy_from_slice(element);
    }
}

/// `BLOCK` bytes a stored block, which begins with `HALVES` f16 numbers; `FLIP` makes quants unsigned.
fn put_blocks<const BLOCK: usize, const HALVES: usize, const FLIP: u8>(panel: &mut [u8], lane: usize, row: &[u8]) {
    for (record, block) in panel.chunks_exact_mut(BLOCK * PANEL_ROWS).zip(row.as_chunks::<BLOCK>().0) {
        let (halves, lines) = record.split_at_mut(HALVES * SCALES);
        for (number, halves) in halves.chunks_exact_mut(SCALES).enumerate() {
            halves[2 * lane..][..2].copy_from_slice(&block[2 * number..][..2]);
        }
        let fours = block[2 * HALVES..].as_chunks::<4>().0;
        for (line, four) in lines.chunks_exact_mut(LINE).zip(fours) {
            line[4 * lane..][..4].copy_from_slice(&four.map(|byte| byte ^ FLIP));
        }
    }
}

/// Expands one row of one record.
fn block_row(format: Format, record: &[u8], lane: usize, out: &mut [f32]) {
    let half = |number: usize| {
        f16::from_le_bytes([record[number * SCALES + 2 * lane], record[number * SCALES + 2 * lane + 1]])
    };
    let scale = half(0).to_f32();
    let (minimum, halves) = if format == Format::Q4_1 { (half(1).to_f32(), 2) } else { (0.0, 1) };
    let offset = if format == Format::Q4_0 { 8.0 } else { 0.0 };
    for (index, line) in record[halves * SCALES..].chunks_exact(LINE).enumerate() {
        for (k, &byte) in line[4 * lane..][..4].iter().enumerate() {
            let column = index * 4 + k;
            if format == Format::Q8_0 {
                out[column] = f32::from((byte ^ 0x80) as i8) * scale;
            } else {
                out[column] = (f32::from(byte & 15) - offset) * scale + minimum;
                out[column + BLOCK_LEN / 2] = (f32::from(byte >> 4) - offset) * scale + minimum;
            }
        }
    }
}
