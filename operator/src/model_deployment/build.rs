//! Writes the job file of a planned ModelDeployment.

use bedplate_crds::job::InferenceJob;

use crate::{
    layout::{Layout, progress_file},
    model_deployment::{plan::ModelDeploymentPlan, validate::ValidModelDeployment},
};

/// The job file.
pub fn build(valid: &ValidModelDeployment, plan: &ModelDeploymentPlan, layout: &Layout) -> InferenceJob {
    InferenceJob {
        metadata: valid.0.metadata.to_job(),
        model_uri: plan.model_uri.clone(),
        served_model_name: plan.served_model_name.clone(),
        engine: valid.0.spec.engine.clone(),
        http_address: layout.http_address.clone(),
        grpc_address: layout.grpc_address.clone(),
        cache_dir: layout.cache_dir.clone(),
        progress_file: progress_file(&plan.output_dir),
        reporting: layout.reporting.clone(),
        threads: layout.threads,
        kv_cache_bytes: layout.kv_cache_bytes,
        allow_any_origin: false,
    }
}
