//! Blocks by their published formulas, products by sums in double precision, and rows that do not depend on their batch.

use half::f16;

use super::testing::{noise, stored};
use super::*;
use crate::isa::Isa;

const ALL: [Format; 6] = [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q4_1];

/// A matrix in an arena of its own.
fn pack(
    format: Format,
    shape: (usize, usize),
    bytes: &[u8],
    source_row: impl Fn(usize) -> usize + Sync,
) -> Result<Matrix, PackError> {
    let mut arena = WeightArena::for_sizes([Matrix::packed_bytes(format, shape)].into_iter()).expect("is mapped");
    let matrix = Matrix::pack(&mut arena, format, shape, bytes, source_row)?;
    arena.finish().expect("is protected");
    Ok(matrix)
}

#[test]
fn blocks_expand_by_the_published_formulas() {
    let mut q8 = f16::from_f32(0.5).to_le_bytes().to_vec();
    q8.extend((0..32u8).map(|i| (i as i8 - 16) as u8));
    let mut out = [0.0; 32];
    dequantise(Format::Q8_0, &q8, &mut out);
    assert!(out.iter().enumerate().all(|(i, &v)| v == (i as f32 - 16.0) * 0.5));
    let nibbles: Vec<u8> = (0..16u8).map(|i| i | ((15 - i) << 4)).collect();
    let q4_0 = [&f16::from_f32(0.25).to_le_bytes()[..], &nibbles].concat();
    dequantise(Format::Q4_0, &q4_0, &mut out);
    assert!((0..16).all(|i| out[i] == (i as f32 - 8.0) * 0.25 && out[i + 16] == (7.0 - i as f32) * 0.25));
    let q4_1 = [&f16::from_f32(2.0).to_le_bytes()[..], &f16::from_f32(-3.0).to_le_bytes(), &nibbles].concat();
    dequantise(Format::Q4_1, &q4_1, &mut out);
    assert!((0..16).all(|i| out[i] == i as f32 * 2.0 - 3.0 && out[i + 16] == (15 - i) as f32 * 2.0 - 3.0));
}

#[test]
fn packed_rows_read_back_as_stored() {
    for format in ALL {
        let (rows, columns) = (37, 96);
        let bytes = stored(format, rows * columns, 3);
        let mut whole = vec![0.0; rows * columns];
        dequantise(format, &bytes, &mut whole);
        let matrix = pack(format, (rows, columns), &bytes, |row| rows - 1 - row).expect("packs");
        let mut out = vec![0.0; columns];
        for row in 0..rows {
            matrix.row(row, &mut out);
            assert_eq!(out, whole[(rows - 1 - row) * columns..][..columns], "{format:?} row {row}");
        }
    }
}

#[test]
fn products_equal_a_double_precision_sum() {
    for format in ALL {
        let (rows, columns, inputs) = (37, 160, 5);
        let bytes = stored(format, rows * columns, 7);
        let mut weights = vec![0.0; rows * columns];
        dequantise(format, &bytes, &mut weights);
        let linear = Linear::new(vec![pack(format, (rows, columns), &bytes, |row| row).expect("packs")]);
        let mut input = Activations::default();
        input.resize(inputs, columns);
        input.values_mut().copy_from_slice(&noise(11, inputs * columns));
        let mut out = vec![0.0; inputs * rows];
        linear.forward(&mut input, &mut Vec::new(), &mut out);
        for i in 0..inputs * rows {
            let (x, w) = (&input.values()[i / rows * columns..][..columns], &weights[i % rows * columns..][..columns]);
            let exact: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            let size: f64 = w.iter().map(|&w| f64::from(w).abs()).sum();
            // Half a step of the largest magnitude (about 1) for every weight, when activations are rounded to 16 bits.
            let bound = size * if format.is_quantised() { 0.5 / 32_512.0 } else { 1e-5 };
            assert!((f64::from(out[i]) - exact).abs() <= bound, "{format:?} {i}: {} is not {exact}", out[i]);
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch() {
    for format in ALL {
        let (rows, columns, inputs) = (48, 64, 9);
        let bytes = stored(format, rows * columns, 5);
        let linear = Linear::new(vec![pack(format, (rows, columns), &bytes, |row| row).expect("packs")]);
        let values = noise(2, inputs * columns);
        let run = |values: &[f32]| {
            let mut input = Activations::default();
            input.resize(values.len() / columns, columns);
            input.values_mut().copy_from_slice(values);
            let mut out = vec![0.0; values.len() / columns * rows];
            linear.forward(&mut input, &mut Vec::new(), &mut out);
            out
        };
        let whole = run(&values);
        for row in 0..inputs {
            assert_eq!(run(&values[row * columns..][..columns]), whole[row * rows..][..rows], "{format:?} row {row}");
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for format in ALL {
        let (rows, columns, inputs) = (37, 96, 15);
        let bytes = stored(format, rows * columns, 9);
        let matrix = pack(format, (rows, columns), &bytes, |row| row).expect("packs");
        let run = |isa| {
            let mut input = Activations::default();
            input.resize(inputs, columns);
            input.values_mut().copy_from_slice(&noise(4, inputs * columns));
            let mut out = vec![0.0; inputs * rows];
            Linear::new(vec![matrix.clone()]).with_isa(isa).forward(&mut input, &mut Vec::new(), &mut out);
            out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        let expected = run(Isa::PORTABLE);
        for isa in Isa::available() {
            assert_eq!(run(isa), expected, "{format:?} {isa:?}");
        }
    }
}

#[test]
fn stacked_matrices_are_their_parts_side_by_side_for_few_rows_and_many() {
    let columns = 64;
    let part = |rows: usize, seed| {
        let bytes = stored(Format::Q4_1, rows * columns, seed);
        pack(Format::Q4_1, (rows, columns), &bytes, |row| row).expect("packs")
    };
    // More panels than one task takes, and enough activation rows to be split by rows.
    let parts = [part(3000, 1), part(40, 2)];
    let forward = |parts: Vec<Matrix>, inputs: usize| {
        let linear = Linear::new(parts);
        let mut input = Activations::default();
        input.resize(inputs, columns);
        input.values_mut().copy_from_slice(&noise(8, inputs * columns));
        let mut out = vec![0.0; inputs * linear.rows()];
        linear.forward(&mut input, &mut Vec::new(), &mut out);
        out
    };
    for inputs in [1, 3, 100] {
        let both = forward(parts.to_vec(), inputs);
        let [first, second] = parts.each_ref().map(|part| forward(vec![part.clone()], inputs));
        for row in 0..inputs {
            let expected = [&first[row * 3000..][..3000], &second[row * 40..][..40]].concat();
            assert_eq!(both[row * 3040..][..3040], expected, "row {row} of {inputs}");
        }
    }
}

#[test]
fn bytes_that_do_not_fit_are_refused() {
    let result = pack(Format::Q4_0, (1, 33), &[0; 18], |row| row);
    assert_eq!(result.err(), Some(PackError::Columns { columns: 33, block: 32, format: Format::Q4_0 }));
    assert!(matches!(pack(Format::F32, (2, 4), &[0; 31], |row| row), Err(PackError::Length { expected: 32, .. })));
}
