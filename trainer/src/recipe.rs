//! What must stay the same from attempt to attempt, and on every rank, for a job to be one job.
//!
//! Owns which fields those are. A checkpoint carries the recipe; ranks compare it when they meet.

use std::{collections::BTreeMap, path::PathBuf};

use bedplate_crds::job::TrainerJob;
use bedplate_engine::ModelConfig;
use serde::Serialize;
use serde_json::Value;

use crate::data::TrainingData;

/// Path of a field and its value.
pub type Recipe = BTreeMap<String, String>;

/// A job that is no longer the one its checkpoint belongs to.
#[derive(Debug, thiserror::Error)]
#[error("{field} is {now} but was {was} when checkpoint {} was written; undo the change, or train under a new name", path.display())]
pub struct RecipeError {
    /// The field.
    pub field: String,
    /// Its value in the checkpoint.
    pub was: String,
    /// Its value in the job file.
    pub now: String,
    /// The checkpoint.
    pub path: PathBuf,
}

/// The recipe of a job: model, data, schedule, optimiser, objective and precision. How many processes train, and when
/// checkpoints and evaluations happen, changes no bit of the result and is left out.
pub fn recipe_of(job: &TrainerJob, config: &ModelConfig, data: &TrainingData) -> Recipe {
    let spec = &job.spec;
    let mut recipe = Recipe::new();
    insert(&mut recipe, "spec.model", &spec.model);
    insert(&mut recipe, "spec.model.config", config);
    insert(&mut recipe, "spec.objective", &spec.objective);
    insert(&mut recipe, "spec.precision", &spec.precision);
    insert(&mut recipe, "spec.schedule", &spec.schedule);
    insert(&mut recipe, "spec.optimizer", &spec.optimizer);
    for (index, (source, dataset)) in spec.data.iter().zip(data.datasets()).enumerate() {
        insert(&mut recipe, &format!("spec.data[{index}].weight"), &source.weight);
        insert(&mut recipe, &format!("spec.data[{index}].dataset (its digest)"), &dataset.manifest().digest);
    }
    recipe
}

/// What ranks must agree on beyond the recipe: the operations they carry out together.
pub fn agreement_of(job: &TrainerJob, recipe: &Recipe) -> Recipe {
    let mut agreement = recipe.clone();
    insert(&mut agreement, "spec.parallelism", &job.spec.parallelism);
    insert(&mut agreement, "spec.checkpoint", &job.spec.checkpoint);
    insert(&mut agreement, "spec.evaluation", &job.spec.evaluation);
    agreement
}

/// The first field that differs: its name, its value in `left` and in `right`.
pub fn first_difference(left: &Recipe, right: &Recipe) -> Option<(String, String, String)> {
    let value = |recipe: &Recipe, field: &String| recipe.get(field).cloned().unwrap_or_else(|| "absent".to_owned());
    let field = left.keys().chain(right.keys()).find(|field| left.get(*field) != right.get(*field))?;
    Some((field.clone(), value(left, field), value(right, field)))
}

fn insert(recipe: &mut Recipe, path: &str, value: &impl Serialize) {
    let value = serde_json::to_value(value).expect("specs are always serialisable");
    flatten(recipe, path, &value);
}

fn flatten(recipe: &mut Recipe, path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(recipe, &format!("{path}.{name}"), value));
        }
        leaf => {
            recipe.insert(path.to_owned(), leaf.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_fields_get_their_paths_and_the_first_difference_is_named() {
        let mut left = Recipe::new();
        insert(&mut left, "spec", &serde_json::json!({"schedule": {"seed": 1}, "objective": "causalLm"}));
        assert_eq!(left["spec.schedule.seed"], "1");
        assert_eq!(left["spec.objective"], "\"causalLm\"");
        let mut right = left.clone();
        assert_eq!(first_difference(&left, &right), None);
        right.insert("spec.zeta".to_owned(), "2".to_owned());
        assert_eq!(
            first_difference(&left, &right),
            Some(("spec.zeta".to_owned(), "absent".to_owned(), "2".to_owned()))
        );
    }
}
