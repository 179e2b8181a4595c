//! Where a model's tensors come from, under Hugging Face's names: a folder or weights in training.
//! (GGUF files are the third source, in `gguf_model`.)

use super::ServingError;
use crate::hf_folder::ModelFolder;
use crate::params::Weights;
use crate::quant::{Format, Matrix, WeightArena};

/// Gives tensors by name, checked against the shape that the model needs.
pub(super) trait TensorSource {
    /// How the matrix of `[rows, columns]` will be stored.
    fn format(&self, name: &str, shape: [usize; 2]) -> Result<Format, ServingError>;
    /// Packs the matrix of `[rows, columns]`.
    fn matrix(&mut self, arena: &mut WeightArena, name: &str, shape: [usize; 2]) -> Result<Matrix, ServingError>;
    /// A vector as f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ServingError>;
}

/// What of a tensor is packed, and under which name errors speak of it.
pub(super) struct Stored<'a> {
    pub(super) name: &'a str,
    pub(super) format: Format,
    pub(super) shape: [usize; 2],
    pub(super) bytes: &'a [u8],
}

impl Stored<'_> {
    pub(super) fn pack(
        &self,
        arena: &mut WeightArena,
        source_row: impl Fn(usize) -> usize + Sync,
    ) -> Result<Matrix, ServingError> {
        Matrix::pack(arena, self.format, self.shape.into(), self.bytes, source_row)
            .map_err(|source| ServingError::Pack { name: self.name.to_owned(), source })
    }
}

/// A Hugging Face folder; `as_f32` widens every matrix.
pub(super) struct FolderSource<'a> {
    pub(super) folder: &'a mut ModelFolder,
    pub(super) as_f32: bool,
}

impl TensorSource for FolderSource<'_> {
    fn format(&self, name: &str, shape: [usize; 2]) -> Result<Format, ServingError> {
        let stored = self.folder.stored_format(name, &shape)?;
        Ok(if self.as_f32 { Format::F32 } else { stored })
    }

    fn matrix(&mut self, arena: &mut WeightArena, name: &str, shape: [usize; 2]) -> Result<Matrix, ServingError> {
        if self.as_f32 {
            let mut values = vec![0.0; shape[0] * shape[1]];
            self.folder.read_f32(name, &shape, &mut values)?;
            let bytes = bytemuck::cast_slice(&values);
            return Stored { name, format: Format::F32, shape, bytes }.pack(arena, |row| row);
        }
        let (format, bytes) = self.folder.read_stored(name, &shape)?;
        Stored { name, format, shape, bytes: &bytes }.pack(arena, |row| row)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ServingError> {
        let mut values = vec![0.0; len];
        self.folder.read_f32(name, &[len], &mut values)?;
        Ok(values)
    }
}

/// Weights in training.
pub(super) struct WeightsSource<'a>(pub(super) &'a Weights);

impl WeightsSource<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32], ServingError> {
        let found = self.0.layout().find(name).map(|param| param.shape.clone()).unwrap_or_default();
        let values = self.0.tensor(name).unwrap_or_default();
        if found != shape {
            return Err(ServingError::Shape { name: name.to_owned(), expected: shape.to_vec(), found });
        }
        Ok(values)
    }
}

impl TensorSource for WeightsSource<'_> {
    fn format(&self, _: &str, _: [usize; 2]) -> Result<Format, ServingError> {
        Ok(Format::F32)
    }

    fn matrix(&mut self, arena: &mut WeightArena, name: &str, shape: [usize; 2]) -> Result<Matrix, ServingError> {
        let bytes = bytemuck::cast_slice(self.tensor(name, &shape)?);
        Stored { name, format: Format::F32, shape, bytes }.pack(arena, |row| row)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ServingError> {
        Ok(self.tensor(name, &[len])?.to_vec())
    }
}
