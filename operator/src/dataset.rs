//! The pure stages of a Dataset: `validate -> plan -> build`.
//!
//! Owns their order. Never reads a source.

pub mod build;
pub mod plan;
pub mod validate;

use bedplate_crds::{dataset::DatasetSpec, job::DatasetJob};

use crate::{layout::Layout, resource::Resource, violation::Invalid};

/// The job file of a Dataset.
///
/// # Errors
/// Every refused field, if any.
pub fn job(resource: &Resource<DatasetSpec>, layout: &Layout) -> Result<DatasetJob, Invalid> {
    let valid = validate::validate(resource)?;
    let plan = plan::plan(&valid, layout);
    Ok(build::build(&valid, &plan, layout))
}
