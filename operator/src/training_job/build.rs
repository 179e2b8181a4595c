//! Writes the job file of a planned TrainingJob; every rank gets the same one.

use bedplate_crds::job::TrainerJob;

use crate::{
    layout::{Layout, progress_file},
    training_job::{plan::TrainingJobPlan, validate::ValidTrainingJob},
};

/// The job file.
pub fn build(valid: &ValidTrainingJob, plan: &TrainingJobPlan, layout: &Layout) -> TrainerJob {
    TrainerJob {
        metadata: valid.0.metadata.to_job(),
        spec: valid.0.spec.clone(),
        dataset_dirs: plan.dataset_dirs.clone(),
        model_dir: plan.model_dir.clone(),
        output_dir: plan.output_dir.clone(),
        progress_file: progress_file(&plan.output_dir),
        reporting: layout.reporting.clone(),
        cache_dir: Some(layout.cache_dir.clone()),
        rendezvous: plan.rendezvous.clone(),
        rendezvous_token: plan.rendezvous.as_ref().and(layout.rendezvous_token.clone()),
        threads: layout.threads,
        memory_limit_bytes: layout.memory_limit_bytes,
    }
}
