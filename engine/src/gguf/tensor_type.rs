//! The tensor types that GGUF has numbers for: names, and how many bytes a block takes.
//!
//! Owns no arithmetic: a type without a [`Format`] is known by name and size, so that a file that holds one can be opened,
//! and is refused when a model asks for the tensor. Numbers and sizes: `ggml.h` and `ggml-common.h`, as the Python package
//! gguf 0.19.0 lists them (`GGML_QUANT_SIZES`).

use std::fmt;

use crate::quant::Format;

/// Number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorType(pub(super) u32);

/// Number, name, numbers in a block, bytes of a block.
type Known = (u32, &'static str, u64, u64);

const KNOWN: [Known; 34] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

impl TensorType {
    /// The storage format, where the engine computes with it.
    pub fn format(self) -> Option<Format> {
        Some(match self.0 {
            0 => Format::F32,
            1 => Format::F16,
            2 => Format::Q4_0,
            3 => Format::Q4_1,
            8 => Format::Q8_0,
            30 => Format::BF16,
            _ => return None,
        })
    }

    /// Numbers in a block and bytes of one, where the type is known.
    pub(super) fn block(self) -> Option<(u64, u64)> {
        self.known().map(|(_, _, numbers, bytes)| (*numbers, *bytes))
    }

    fn known(self) -> Option<&'static Known> {
        KNOWN.iter().find(|(number, ..)| *number == self.0)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((_, name, ..)) => formatter.write_str(name),
            None => write!(formatter, "of the unknown type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_formats_that_are_computed() {
        let computed = KNOWN.iter().filter_map(|(number, name, numbers, bytes)| {
            TensorType(*number).format().map(|format| (format, *name, *numbers, *bytes))
        });
        let computed: Vec<_> = computed.collect();
        assert_eq!(computed.len(), 6);
        for (format, name, numbers, bytes) in computed {
            assert_eq!(format!("{format:?}"), name);
            assert_eq!((format.block_len() as u64, format.block_bytes() as u64), (numbers, bytes), "{name}");
        }
    }
}
