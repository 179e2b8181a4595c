//! Writes the job file of a planned Dataset.

use bedplate_crds::job::DatasetJob;

use crate::{
    dataset::{plan::DatasetPlan, validate::ValidDataset},
    layout::{Layout, progress_file},
};

/// The job file.
pub fn build(valid: &ValidDataset, plan: &DatasetPlan, layout: &Layout) -> DatasetJob {
    DatasetJob {
        metadata: valid.0.metadata.to_job(),
        spec: valid.0.spec.clone(),
        input_root: layout.input_root.clone(),
        output_dir: plan.output_dir.clone(),
        progress_file: progress_file(&plan.output_dir),
        reporting: layout.reporting.clone(),
        threads: layout.threads,
    }
}
