//! Sizes of the engine from the job file, the model and the machine's memory; refuses what cannot work, with numbers.
//!
//! Pure: what memory there is is passed in.

use bedplate_crds::job::InferenceJob;
use bedplate_engine::{ModelConfig, serving::KvCache};

use crate::scheduler::SchedulerConfig;

#[cfg(test)]
mod tests;

/// Tokens of a KV cache block: vLLM's default, small enough to waste little and large enough to share prefixes cheaply.
const BLOCK_SIZE: usize = 16;
/// Share of the available memory that the KV cache may take where the job names no number: a laptop has other work, and
/// the trainer of the same quickstart may still run.
const MEMORY_SHARE: f64 = 0.25;
/// What is taken to be available where the system does not say.
pub const ASSUMED_MEMORY_BYTES: u64 = 4 << 30;

/// Sizes of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnginePlan {
    /// Longest prompt plus answer, in tokens.
    pub max_model_len: usize,
    /// Sequences that may wait.
    pub max_queue_len: usize,
    /// Most sequences in one step.
    pub max_num_seqs: usize,
    /// Most tokens in one step.
    pub max_num_batched_tokens: usize,
    /// Tokens of a block.
    pub block_size: usize,
    /// Blocks of the KV cache.
    pub num_blocks: usize,
    /// Bytes of the KV cache.
    pub kv_cache_bytes: u64,
}

/// Why the job cannot be served on this machine.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A limit of zero serves nobody.
    #[error("{field} is 0; write a number of 1 or more")]
    Zero {
        /// The field of the job file.
        field: &'static str,
    },
    /// A step must have a token for each of its sequences.
    #[error(
        "engine.maxNumBatchedTokens is {tokens}, less than one token for each of engine.maxNumSeqs {seqs} sequences; \
         raise the first or lower the second"
    )]
    StepTooSmall {
        /// `maxNumBatchedTokens`.
        tokens: u32,
        /// `maxNumSeqs`.
        seqs: u32,
    },
    /// The model was not made for sequences that long.
    #[error("engine.maxModelLen is {asked}, but the model goes up to {limit} tokens; write at most {limit}")]
    ModelTooShort {
        /// `maxModelLen`.
        asked: u32,
        /// The model's own limit.
        limit: usize,
    },
    /// Not even one sequence fits the KV cache.
    #[error(
        "the KV cache may take {given_bytes} bytes, room for {given_tokens} tokens, but one sequence of \
         {max_model_len} tokens takes {needed_bytes} bytes; set engine.maxModelLen to at most {given_tokens} or give \
         the KV cache more memory"
    )]
    CacheTooSmall {
        /// Bytes there are.
        given_bytes: u64,
        /// Tokens they hold.
        given_tokens: usize,
        /// Longest sequence.
        max_model_len: usize,
        /// Bytes it takes.
        needed_bytes: u64,
    },
}

/// Sizes for serving a model of `config` as `job` asks, with `available_bytes` of memory left beside its weights.
///
/// # Errors
/// Names the field, the numbers and the remedy.
pub fn plan(job: &InferenceJob, config: &ModelConfig, available_bytes: u64) -> Result<EnginePlan, PlanError> {
    let args = &job.engine;
    for (field, value) in [
        ("engine.maxNumSeqs", args.max_num_seqs),
        ("engine.maxNumBatchedTokens", args.max_num_batched_tokens),
        ("engine.maxQueueLen", args.max_queue_len),
        ("engine.maxModelLen", args.max_model_len.unwrap_or(1)),
    ] {
        if value == 0 {
            return Err(PlanError::Zero { field });
        }
    }
    if args.max_num_batched_tokens < args.max_num_seqs {
        return Err(PlanError::StepTooSmall { tokens: args.max_num_batched_tokens, seqs: args.max_num_seqs });
    }
    let limit = config.max_position_embeddings;
    let max_model_len = match args.max_model_len {
        Some(asked) if asked as usize > limit => return Err(PlanError::ModelTooShort { asked, limit }),
        asked => asked.map_or(limit, |asked| asked as usize),
    };
    let max_num_seqs = args.max_num_seqs as usize;
    let num_blocks = num_blocks(job, config, max_model_len, available_bytes)?;
    Ok(EnginePlan {
        max_model_len,
        max_queue_len: args.max_queue_len as usize,
        max_num_seqs,
        max_num_batched_tokens: args.max_num_batched_tokens as usize,
        block_size: BLOCK_SIZE,
        num_blocks,
        kv_cache_bytes: num_blocks as u64 * KvCache::bytes_per_block(config, BLOCK_SIZE),
    })
}

fn num_blocks(
    job: &InferenceJob,
    config: &ModelConfig,
    max_model_len: usize,
    available_bytes: u64,
) -> Result<usize, PlanError> {
    let bytes_per_block = KvCache::bytes_per_block(config, BLOCK_SIZE);
    let given_bytes = match job.kv_cache_bytes {
        0 => (available_bytes as f64 * MEMORY_SHARE) as u64,
        bytes => bytes,
    };
    let per_sequence = max_model_len.div_ceil(BLOCK_SIZE);
    let affordable = (given_bytes / bytes_per_block) as usize;
    if affordable < per_sequence {
        return Err(PlanError::CacheTooSmall {
            given_bytes,
            given_tokens: affordable * BLOCK_SIZE,
            max_model_len,
            needed_bytes: per_sequence as u64 * bytes_per_block,
        });
    }
    // A number that was asked for is taken as it is; otherwise more than all sequences can hold would only lie idle.
    let useful = per_sequence * job.engine.max_num_seqs as usize;
    Ok(if job.kv_cache_bytes == 0 { affordable.min(useful) } else { affordable })
}

impl EnginePlan {
    /// The part of it that the scheduler asks for.
    pub fn scheduler(&self) -> SchedulerConfig {
        SchedulerConfig { max_num_seqs: self.max_num_seqs, max_num_batched_tokens: self.max_num_batched_tokens }
    }
}
