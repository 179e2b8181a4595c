//! The header of a safetensors file: names, number formats, shapes and places.
//!
//! Owns the difference to the `safetensors` crate, which checks that the tensors fill the file without holes: a number format
//! that the crate does not know is kept by name, so that a file in a newer one is called unsupported and not damaged.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::Metadata};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a file that git-lfs put in the place of another begins with (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
pub(super) const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// What the header says of the whole file, if it says anything.
const FILE_METADATA: &str = "__metadata__";

/// One tensor.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Number format in the file's word.
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Begin and end in the data section, in bytes.
    pub offsets: (u64, u64),
}

/// The tensors by name, and the bytes that they take together.
pub(super) fn parse(json: &[u8]) -> Result<(BTreeMap<String, Entry>, u64), String> {
    let mut header: Map<String, Value> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut unknown = BTreeMap::new();
    for (name, entry) in header.iter_mut().filter(|(name, _)| *name != FILE_METADATA) {
        if let Some(described) = of_unknown_format(entry) {
            // The crate checks its place as that of so many bytes.
            *entry = json!({
                "dtype": "U8",
                "shape": [described.offsets.1.saturating_sub(described.offsets.0)],
                "data_offsets": [described.offsets.0, described.offsets.1],
            });
            unknown.insert(name.clone(), described);
        }
    }
    let metadata: Metadata = serde_json::from_value(Value::Object(header)).map_err(|error| error.to_string())?;
    let entry = |name: &String| {
        let info = metadata.info(name)?;
        let offsets = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        Some(Entry { dtype: format!("{:?}", info.dtype), shape: info.shape.clone(), offsets })
    };
    let known = metadata.offset_keys().into_iter().filter_map(|name| Some((name.clone(), entry(&name)?)));
    let mut tensors: BTreeMap<String, Entry> = known.collect();
    tensors.extend(unknown);
    Ok((tensors, metadata.data_len() as u64))
}

/// A well-formed entry whose number format the crate does not know.
fn of_unknown_format(entry: &Value) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Written {
        dtype: String,
        shape: Vec<usize>,
        data_offsets: (u64, u64),
    }
    let written = Written::deserialize(entry).ok()?;
    match Dtype::deserialize(&Value::String(written.dtype.clone())) {
        Ok(_) => None,
        Err(_) => Some(Entry { dtype: written.dtype, shape: written.shape, offsets: written.data_offsets }),
    }
}
