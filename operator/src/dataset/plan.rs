//! Decides where a valid Dataset lies.

use std::path::PathBuf;

use crate::{dataset::validate::ValidDataset, layout::Layout, resource::Kind};

/// What follows from the spec and the place it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetPlan {
    /// Folder that receives the manifest, the tokenizer and the shards.
    pub output_dir: PathBuf,
}

/// The plan of a valid Dataset.
pub fn plan(valid: &ValidDataset, layout: &Layout) -> DatasetPlan {
    let resource = &valid.0;
    DatasetPlan { output_dir: layout.output_dir(Kind::Dataset, &resource.metadata, resource.spec.storage.as_ref()) }
}
