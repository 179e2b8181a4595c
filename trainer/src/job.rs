//! Reads the job file and refuses what no part of the trainer could carry out.
//!
//! Owns the checks that need nothing but the file. The operator has made most of them before; a file written by hand
//! has not been through it.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use bedplate_crds::job::TrainerJob;

/// World sizes that divide the summation tree.
const WORLD_SIZES: [u32; 4] = [1, 2, 4, 8];

/// Why a job file cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The file is not there.
    #[error("cannot read the job file {}; check --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no job file.
    #[error("{} is not a job file of bedplate-trainer", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A field has a value that cannot be carried out.
    #[error("{field} is {found}; {remedy}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What to write instead.
        remedy: String,
    },
}

/// Reads and checks the job file of rank `rank`.
pub fn read(path: &Path) -> Result<TrainerJob, JobError> {
    let bytes = std::fs::read(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| JobError::Parse { path: path.to_owned(), source })
}

/// Refuses a job whose numbers do not fit one another.
pub fn check(job: &TrainerJob, rank: u32) -> Result<(), JobError> {
    let schedule = &job.spec.schedule;
    let world_size = job.spec.parallelism.data;
    let (global, micro) = (schedule.global_batch_size, schedule.micro_batch_size);
    require(schedule.max_steps > 0, "spec.schedule.maxSteps", schedule.max_steps, "write 1 or more")?;
    require(micro > 0, "spec.schedule.microBatchSize", micro, "write 1 or more")?;
    require(global > 0, "spec.schedule.globalBatchSize", global, "write 1 or more")?;
    let remedy = format!("write a multiple of microBatchSize {micro}");
    require(global.is_multiple_of(micro), "spec.schedule.globalBatchSize", global, &remedy)?;
    require(WORLD_SIZES.contains(&world_size), "spec.parallelism.data", world_size, "write 1, 2, 4 or 8")?;
    let micro_batches = global / micro;
    let remedy = format!("write a divisor of the {micro_batches} micro-batches of a step");
    require(micro_batches.is_multiple_of(world_size), "spec.parallelism.data", world_size, &remedy)?;
    require(rank < world_size, "--rank", rank, &format!("spec.parallelism.data has ranks 0 to {}", world_size - 1))?;
    let has_address = world_size == 1 || job.rendezvous.is_some();
    require(has_address, "rendezvous", "missing", "write the host:port where rank 0 listens")?;
    check_rates(job)
}

fn check_rates(job: &TrainerJob) -> Result<(), JobError> {
    let (schedule, optimizer) = (&job.spec.schedule, &job.spec.optimizer);
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let share = |value: f64| (0.0..1.0).contains(&value);
    let rate = schedule.learning_rate;
    require(positive(rate), "spec.schedule.learningRate", rate, "write a number above 0")?;
    let ratio = schedule.min_learning_rate_ratio;
    require((0.0..=1.0).contains(&ratio), "spec.schedule.minLearningRateRatio", ratio, "write a number from 0 to 1")?;
    require(share(optimizer.beta1), "spec.optimizer.beta1", optimizer.beta1, "write a number from 0 to below 1")?;
    require(share(optimizer.beta2), "spec.optimizer.beta2", optimizer.beta2, "write a number from 0 to below 1")?;
    let epsilon = optimizer.epsilon;
    require(positive(epsilon), "spec.optimizer.epsilon", epsilon, "write a number above 0")?;
    let decay = optimizer.weight_decay;
    require(decay.is_finite() && decay >= 0.0, "spec.optimizer.weightDecay", decay, "write 0 or more")?;
    let norm = optimizer.max_grad_norm;
    require(norm.is_finite() && norm >= 0.0, "spec.optimizer.maxGradNorm", norm, "write 0 or more")?;
    let every = job.spec.checkpoint.every_steps;
    require(every > 0, "spec.checkpoint.everySteps", every, "write 1 or more")?;
    let sequences = job.spec.evaluation.max_sequences;
    require(sequences > 0, "spec.evaluation.maxSequences", sequences, "write 1 or more")
}

fn require(holds: bool, field: &'static str, found: impl ToString, remedy: &str) -> Result<(), JobError> {
    match holds {
        true => Ok(()),
        false => Err(JobError::Field { field, found: found.to_string(), remedy: remedy.to_owned() }),
    }
}

/// Ranks that share this machine's cores and memory: all of them where they meet at a loopback address, else this one.
pub fn ranks_on_this_machine(job: &TrainerJob) -> u32 {
    match job.rendezvous.as_deref().map(host_of) {
        Some(host) if is_loopback(host) => job.spec.parallelism.data,
        _ => 1,
    }
}

/// The host of a `host:port`.
pub fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']'])
}

/// Whether a host is this machine and no other.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        assert!(is_loopback(host_of("127.0.0.1:29400")));
        assert!(is_loopback(host_of("[::1]:29400")));
        assert!(is_loopback(host_of("localhost:29400")));
        assert!(!is_loopback(host_of("train-0.train:29400")));
        assert!(!is_loopback(host_of("10.0.0.7:29400")));
    }
}
