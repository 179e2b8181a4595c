//! Progress events: what a workload reports while it runs.
//!
//! Appended as JSON lines to the job's progress file, which is also the spool for the progress API.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of a progress file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressEvent {
    /// Seconds since the Unix epoch.
    pub time_seconds: f64,
    /// What happened.
    #[serde(flatten)]
    pub body: ProgressBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ProgressBody {
    /// The process is up and its job file is valid.
    Started {
        /// Process id, so that whoever supervises can tell attempts apart.
        pid: u32,
    },
    /// A dataset stage moved on.
    Stage {
        /// Name of the stage: `read`, a pipeline stage's type, `tokenizer`, `tokenize`, `pack`.
        stage: String,
        /// Documents that went in.
        documents_in: u64,
        /// Documents that came out.
        documents_out: u64,
        /// Bytes that went in; 0 in files of earlier releases.
        #[serde(default)]
        bytes_in: u64,
        /// Bytes that came out.
        bytes_out: u64,
        /// What it left out, by what it is, and how many.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        left_out: BTreeMap<String, u64>,
        /// Share of the work done (0 to 1), where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f64>,
        /// Whether the stage was skipped because nothing it depends on has changed.
        #[serde(default)]
        cached: bool,
        /// Whether the stage is over.
        done: bool,
    },
    /// A training step was taken.
    Step(StepMetrics),
    /// The hold-out was measured.
    Evaluation {
        /// Step after which it was measured.
        step: u64,
        /// Mean negative log-likelihood of a token, in nats.
        loss: f64,
        /// The same in bits per byte of text.
        bits_per_byte: f64,
        /// Predicted tokens.
        tokens: u64,
    },
    /// A checkpoint became durable.
    Checkpoint {
        /// Step it holds.
        step: u64,
        /// Folder of the checkpoint.
        path: String,
        /// blake3 digest of its manifest's content, hex.
        digest: String,
        /// Size on disk.
        bytes: u64,
    },
    /// A sample of generated text.
    Sample {
        /// Step after which it was drawn.
        step: u64,
        /// The prompt.
        prompt: String,
        /// What the model continued with.
        completion: String,
    },
    /// The memory plan was accepted.
    Plan {
        /// Bytes per named part.
        bytes: BTreeMap<String, u64>,
        /// Trainable parameters.
        parameters: u64,
    },
    /// The server listens and answers.
    Ready {
        /// Base URL of the OpenAI-compatible endpoint.
        url: String,
    },
    /// The work is done; `digest` names the artefact.
    Completed {
        /// Content digest of the Dataset or of the final checkpoint, hex.
        digest: String,
    },
    /// The work ended early.
    Failed {
        /// One clear sentence that names the field and the remedy.
        message: String,
        /// Exit code of the process.
        exit_code: i32,
    },
}

/// Figures of one training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepMetrics {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps of the whole job.
    pub max_steps: u64,
    /// Mean negative log-likelihood of a target token, in nats.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens per second over the step, all ranks together.
    pub tokens_per_second: f64,
    /// Tokens seen since the beginning of the job, all ranks together.
    pub tokens: u64,
}
