//! Refuses a TrainingJob that cannot work, before any Dataset is made for it.
//!
//! Owns the rules on the spec alone. What needs the data or the machine (vocabulary, memory) is refused by the trainer's
//! own plan, before its first allocation.

use bedplate_crds::training_job::{ModelShape, ModelSource, Schedule, TrainingJobSpec};

use crate::{
    pod,
    resource::{Kind, Resource},
    violation::{Checks, Invalid, Violation},
};

/// World sizes whose sums are the same bits as one process': the summation tree is cut at its midpoints.
const WORLD_SIZES: [u32; 4] = [1, 2, 4, 8];
/// Where a model folder may come from.
const MODEL_SCHEMES: [&str; 2] = ["file:", "hf://"];

/// A TrainingJob whose every field has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidTrainingJob(pub(crate) Resource<TrainingJobSpec>);

/// Checks every field.
///
/// # Errors
/// Every refused field, in the order of the spec.
pub fn validate(resource: &Resource<TrainingJobSpec>) -> Result<ValidTrainingJob, Invalid> {
    let mut checks = Checks::of(&resource.metadata);
    let spec = &resource.spec;
    check_model(&mut checks, &resource.metadata.name, &spec.model);
    check_data(&mut checks, spec);
    check_schedule(&mut checks, &spec.schedule);
    check_optimizer(&mut checks, spec);
    check_parallelism(&mut checks, spec);
    checks.positive("spec.checkpoint.everySteps", spec.checkpoint.every_steps);
    checks.positive("spec.checkpoint.keep", spec.checkpoint.keep.into());
    checks.positive("spec.evaluation.maxSequences", spec.evaluation.max_sequences.into());
    for (i, rule) in spec.failure_policy.iter().enumerate() {
        if rule.exit_codes.is_empty() {
            let remedy = "name at least one exit code of docs/exit-codes.md".to_owned();
            checks.refuse(Violation::Empty { field: format!("spec.failurePolicy[{i}].exitCodes"), remedy });
        }
        for (j, code) in rule.exit_codes.iter().enumerate() {
            let field = format!("spec.failurePolicy[{i}].exitCodes[{j}]");
            checks.range(&field, code, (1..=255).contains(code), "from 1 to 255");
        }
    }
    if let Some(seconds) = spec.active_deadline_seconds {
        checks.positive("spec.activeDeadlineSeconds", seconds);
    }
    if let Some(queue) = &spec.queue_name {
        checks.name("spec.queueName", queue);
    }
    if let Some(storage) = &spec.storage {
        checks.name("spec.storage.persistentVolumeClaim", &storage.persistent_volume_claim);
    }
    pod::check_quantities(&mut checks, "spec.workers.resourcesPerNode", &spec.workers.resources_per_node);
    pod::check_template(&mut checks, spec.pod_template.as_ref());
    checks.finish(Kind::TrainingJob, resource)?;
    Ok(ValidTrainingJob(resource.clone()))
}

fn check_model(checks: &mut Checks, own_name: &str, model: &ModelSource) {
    match model {
        ModelSource::Config { config } => check_shape(checks, config),
        ModelSource::TrainingJob { name } => {
            checks.name("spec.model.name", name);
            let allowed = "the name of another TrainingJob";
            checks.range("spec.model.name", name, name != own_name, allowed);
        }
        ModelSource::Uri { uri } => {
            let allowed = "file:relative/folder, file:///absolute/folder, hf://owner/repository";
            checks.uri("spec.model.uri", uri, &MODEL_SCHEMES, allowed);
        }
    }
}

fn check_shape(checks: &mut Checks, shape: &ModelShape) {
    let at = |name: &str| format!("spec.model.config.{name}");
    for (name, value) in [
        ("hidden_size", shape.hidden_size),
        ("intermediate_size", shape.intermediate_size),
        ("num_hidden_layers", shape.num_hidden_layers),
        ("num_attention_heads", shape.num_attention_heads),
    ] {
        checks.positive(&at(name), value.into());
    }
    check_heads(checks, shape);
    checks.range(&at("rope_theta"), shape.rope_theta, is_positive(shape.rope_theta), "greater than 0");
    checks.range(&at("rms_norm_eps"), shape.rms_norm_eps, is_positive(shape.rms_norm_eps), "greater than 0");
    let deviation = shape.initializer_range;
    checks.range(&at("initializer_range"), deviation, is_positive(deviation), "greater than 0");
    if let Some(positions) = shape.max_position_embeddings {
        checks.range(&at("max_position_embeddings"), positions, positions >= 2, "at least 2");
    }
    if let Some(entries) = shape.vocab_size {
        checks.range(&at("vocab_size"), entries, entries >= 2, "at least 2");
    }
}

/// Query heads divide into groups, and the width of a head is even because rotary embeddings turn pairs.
fn check_heads(checks: &mut Checks, shape: &ModelShape) {
    let at = |name: &str| format!("spec.model.config.{name}");
    let heads = shape.num_attention_heads;
    let kv_heads = shape.num_key_value_heads.unwrap_or(heads);
    if heads == 0 {
        return;
    }
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        checks.refuse(Violation::NotDivisible {
            field: at("num_attention_heads"),
            value: heads.into(),
            divisor_field: at("num_key_value_heads"),
            divisor: kv_heads.into(),
            remedy: "give every group of query heads one key and value head".to_owned(),
        });
    }
    match shape.head_dim {
        Some(dim) => {
            checks.range(&at("head_dim"), dim, dim > 0 && dim.is_multiple_of(2), "even and at least 2");
        }
        None if !shape.hidden_size.is_multiple_of(2 * heads) => checks.refuse(Violation::NotDivisible {
            field: at("hidden_size"),
            value: shape.hidden_size.into(),
            divisor_field: "twice spec.model.config.num_attention_heads".to_owned(),
            divisor: u64::from(heads) * 2,
            remedy: "choose a width whose heads are even, or set head_dim".to_owned(),
        }),
        None => {}
    }
}

fn check_data(checks: &mut Checks, spec: &TrainingJobSpec) {
    if spec.data.is_empty() {
        let remedy = "name at least one Dataset".to_owned();
        checks.refuse(Violation::Empty { field: "spec.data".to_owned(), remedy });
    }
    for (i, data) in spec.data.iter().enumerate() {
        let field = format!("spec.data[{i}].dataset");
        checks.name(&field, &data.dataset);
        if spec.data[..i].iter().any(|earlier| earlier.dataset == data.dataset) {
            checks.refuse(Violation::Duplicate { field, value: data.dataset.clone() });
        }
        checks.range(&format!("spec.data[{i}].weight"), data.weight, is_positive(data.weight), "greater than 0");
    }
}

fn check_schedule(checks: &mut Checks, schedule: &Schedule) {
    checks.positive("spec.schedule.maxSteps", schedule.max_steps);
    checks.positive("spec.schedule.globalBatchSize", schedule.global_batch_size.into());
    checks.positive("spec.schedule.microBatchSize", schedule.micro_batch_size.into());
    if schedule.micro_batch_size > 0 && !schedule.global_batch_size.is_multiple_of(schedule.micro_batch_size) {
        checks.refuse(Violation::NotDivisible {
            field: "spec.schedule.globalBatchSize".to_owned(),
            value: schedule.global_batch_size.into(),
            divisor_field: "spec.schedule.microBatchSize".to_owned(),
            divisor: schedule.micro_batch_size.into(),
            remedy: "make the global batch a multiple of the micro-batch".to_owned(),
        });
    }
    let rate = schedule.learning_rate;
    checks.range("spec.schedule.learningRate", rate, is_positive(rate), "greater than 0");
    let ratio = schedule.min_learning_rate_ratio;
    checks.range("spec.schedule.minLearningRateRatio", ratio, (0.0..=1.0).contains(&ratio), "from 0 to 1");
    let allowed = format!("at most spec.schedule.maxSteps ({})", schedule.max_steps);
    let warmup = schedule.warmup_steps;
    checks.range("spec.schedule.warmupSteps", warmup, warmup <= schedule.max_steps, &allowed);
    if let Some(decay) = schedule.decay_steps {
        let is_allowed = decay.checked_add(warmup).is_some_and(|steps| steps <= schedule.max_steps);
        let allowed = format!("at most spec.schedule.maxSteps ({}) less warmupSteps ({warmup})", schedule.max_steps);
        checks.range("spec.schedule.decaySteps", decay, is_allowed, &allowed);
    }
}

fn check_optimizer(checks: &mut Checks, spec: &TrainingJobSpec) {
    let optimizer = &spec.optimizer;
    for (name, value) in [("beta1", optimizer.beta1), ("beta2", optimizer.beta2)] {
        let field = format!("spec.optimizer.{name}");
        checks.range(&field, value, (0.0..1.0).contains(&value), "at least 0 and less than 1");
    }
    checks.range("spec.optimizer.epsilon", optimizer.epsilon, is_positive(optimizer.epsilon), "greater than 0");
    for (name, value) in [("weightDecay", optimizer.weight_decay), ("maxGradNorm", optimizer.max_grad_norm)] {
        let field = format!("spec.optimizer.{name}");
        checks.range(&field, value, value.is_finite() && value >= 0.0, "at least 0");
    }
}

/// Equal blocks of micro-batches for each rank, one rank a pod.
fn check_parallelism(checks: &mut Checks, spec: &TrainingJobSpec) {
    let ranks = spec.parallelism.data;
    checks.range("spec.parallelism.data", ranks, WORLD_SIZES.contains(&ranks), "1, 2, 4 or 8");
    if ranks != spec.workers.num_nodes {
        checks.refuse(Violation::Disagrees {
            field: "spec.parallelism.data".to_owned(),
            value: ranks.to_string(),
            other_field: "spec.workers.numNodes".to_owned(),
            other_value: spec.workers.num_nodes.to_string(),
            remedy: "each node runs one process: give both the same number".to_owned(),
        });
    }
    let schedule = &spec.schedule;
    let Some(micro_batches) = schedule.global_batch_size.checked_div(schedule.micro_batch_size) else { return };
    if ranks > 0 && !micro_batches.is_multiple_of(ranks) {
        checks.refuse(Violation::NotDivisible {
            field: "spec.schedule.globalBatchSize / microBatchSize".to_owned(),
            value: micro_batches.into(),
            divisor_field: "spec.parallelism.data".to_owned(),
            divisor: ranks.into(),
            remedy: "every process takes as many micro-batches of a step as the others".to_owned(),
        });
    }
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}
