//! Refuses a ModelDeployment that cannot work, before its model is fetched.
//!
//! Owns the rules on the spec alone. What needs the model (its longest context, its formats) is refused by the server.

use bedplate_crds::model_deployment::{EngineArgs, ModelDeploymentSpec, ServedModel};

use crate::{
    pod,
    resource::{Kind, Resource},
    violation::{Checks, Invalid, Violation},
};

/// Where a model may come from.
const MODEL_SCHEMES: [&str; 2] = ["file:", "hf://"];

/// A ModelDeployment whose every field has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidModelDeployment(pub(crate) Resource<ModelDeploymentSpec>);

/// Checks every field.
///
/// # Errors
/// Every refused field, in the order of the spec.
pub fn validate(resource: &Resource<ModelDeploymentSpec>) -> Result<ValidModelDeployment, Invalid> {
    let mut checks = Checks::of(&resource.metadata);
    let spec = &resource.spec;
    match &spec.model {
        ServedModel::TrainingJob { name } => checks.name("spec.model.name", name),
        ServedModel::Uri { uri } => {
            let allowed =
                "file:relative/model, file:///absolute/model, hf://owner/repository, hf://owner/repository/file.gguf";
            checks.uri("spec.model.uri", uri, &MODEL_SCHEMES, allowed);
        }
    }
    if spec.served_model_name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        let remedy = "name the model, or leave the field out to use the name of the resource".to_owned();
        checks.refuse(Violation::Empty { field: "spec.servedModelName".to_owned(), remedy });
    }
    check_engine(&mut checks, &spec.engine);
    let rollout = &spec.rollout;
    if rollout.max_surge == 0 && rollout.max_unavailable == 0 {
        checks.refuse(Violation::Disagrees {
            field: "spec.rollout.maxSurge".to_owned(),
            value: "0".to_owned(),
            other_field: "spec.rollout.maxUnavailable".to_owned(),
            other_value: "0".to_owned(),
            remedy: "one of them must be at least 1, or no pod can ever be replaced".to_owned(),
        });
    }
    pod::check_quantities(&mut checks, "spec.resources", &spec.resources);
    pod::check_template(&mut checks, spec.pod_template.as_ref());
    checks.finish(Kind::ModelDeployment, resource)?;
    Ok(ValidModelDeployment(resource.clone()))
}

fn check_engine(checks: &mut Checks, engine: &EngineArgs) {
    checks.positive("spec.engine.maxNumSeqs", engine.max_num_seqs.into());
    let allowed =
        format!("at least spec.engine.maxNumSeqs ({}): each sequence takes one token a step", engine.max_num_seqs);
    let tokens = engine.max_num_batched_tokens;
    checks.range("spec.engine.maxNumBatchedTokens", tokens, tokens >= engine.max_num_seqs.max(1), &allowed);
    if let Some(length) = engine.max_model_len {
        checks.range("spec.engine.maxModelLen", length, length >= 2, "at least 2: a prompt and an answer of one token");
    }
}
