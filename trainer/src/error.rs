//! Why an attempt ended before the job was done, and with which exit code.
//!
//! The one place where errors become exit codes.

use bedplate_crds::job::exit::ExitCode;
use bedplate_engine::{checkpoint::CheckpointError, collective::CollectiveError, safetensors_file::SafetensorsError};
use bedplate_hub::HubError;
use bedplate_telemetry::progress::ProgressError;
use bedplate_tokenizer::{TokenizerError, shard::ShardError};
use bedplate_workload::removal::RemovalError;

use crate::{
    checkpoints::FindError,
    data::{BatchError, DataError, DatasetError},
    evaluate::EvaluateError,
    export::ExportError,
    job::JobError,
    memory::MemoryError,
    model::ModelError,
    rendezvous::RendezvousError,
    running_time::RunningTimeError,
    train::StepError,
};

/// Why an attempt ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The job file cannot be carried out.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The data cannot be trained on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model cannot be trained.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The plan does not fit the memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// No checkpoint to start from.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The ranks did not come together.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),
    /// The ranks lost one another.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The hold-out could not be measured.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The tokenizer cannot be used for a sample.
    #[error("the Dataset's tokenizer cannot be used")]
    Tokenizer(#[source] DatasetError),
    /// A sample prompt cannot be encoded.
    #[error("spec.evaluation.samplePrompts cannot be used")]
    Prompt(#[source] TokenizerError),
    /// A sample prompt has a token that the model has no embedding for.
    #[error(
        "spec.evaluation.samplePrompts has {prompt:?} with token {token}, but the model has only {vocab_size} embeddings; write it without that token"
    )]
    PromptToken {
        /// The prompt.
        prompt: String,
        /// The token.
        token: u32,
        /// Entries of the model's embedding.
        vocab_size: usize,
    },
    /// A checkpoint could not be written.
    #[error(
        "the checkpoint after step {step} could not be written; free space below outputDir or check its permissions, and start again"
    )]
    Save {
        /// The step.
        step: u64,
        /// Why.
        source: CheckpointError,
    },
    /// The final model could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Progress could not be reported.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The running time could not be kept.
    #[error(transparent)]
    RunningTime(#[from] RunningTimeError),
    /// The threads of this rank could not be started.
    #[error("could not start {threads} threads; lower threads in the job file")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// The listener for signals could not be set up.
    #[error("could not listen for SIGTERM and SIGINT")]
    Signals(#[source] std::io::Error),
    /// The output folder was to be removed and could not.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// Stopped by a signal.
    #[error("stopped by a signal after step {step}, which is saved; start the same job again to go on")]
    Preempted {
        /// Steps done.
        step: u64,
    },
    /// The time is up.
    #[error("spec.activeDeadlineSeconds is used up after step {step}, which is saved; raise it to go on from there")]
    Overtime {
        /// Steps done.
        step: u64,
    },
}

impl TrainError {
    /// The code that the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Job(_) | Self::Prompt(_) | Self::PromptToken { .. } => ExitCode::InvalidConfig,
            Self::Data(DataError::Open { source, .. }) | Self::Tokenizer(source) => of_dataset(source),
            Self::Data(_) => ExitCode::InvalidConfig,
            Self::Model(error) => of_model(error),
            Self::Memory(_) => ExitCode::OutOfMemory,
            Self::Find(FindError::Checkpoint(error)) => of_checkpoint(error),
            Self::Find(FindError::Recipe(_)) => ExitCode::InvalidConfig,
            Self::Rendezvous(error) => of_rendezvous(error),
            Self::Collective(error) => of_collective(error),
            Self::Step(error) => of_step(error),
            Self::Evaluate(EvaluateError::Batch(error)) => of_batch(error),
            Self::Evaluate(EvaluateError::Collective(error)) => of_collective(error),
            Self::Save { source, .. } => of_checkpoint(source),
            Self::Export(_) | Self::Progress(_) | Self::RunningTime(_) => ExitCode::StorageFailed,
            Self::Threads { .. } | Self::Signals(_) => ExitCode::Retryable,
            Self::Removal(RemovalError::Remove { .. }) => ExitCode::StorageFailed,
            Self::Removal(_) => ExitCode::InvalidConfig,
            Self::Preempted { .. } => ExitCode::Preempted,
            Self::Overtime { .. } => ExitCode::DeadlineExceeded,
        }
    }
}

fn of_dataset(error: &DatasetError) -> ExitCode {
    match error {
        DatasetError::FindManifest { .. } | DatasetError::FormatVersion { .. } | DatasetError::Empty { .. } => {
            ExitCode::InvalidConfig
        }
        DatasetError::Read { .. } | DatasetError::Shard(ShardError::Read { .. }) => ExitCode::StorageFailed,
        DatasetError::ParseManifest { .. }
        | DatasetError::Changed { .. }
        | DatasetError::Shard(_)
        | DatasetError::Tokenizer(_) => ExitCode::CorruptData,
    }
}

fn of_model(error: &ModelError) -> ExitCode {
    match error {
        ModelError::Fetch(HubError::ListRepository { .. } | HubError::Download { .. }) => ExitCode::Retryable,
        ModelError::Fetch(HubError::Check { .. } | HubError::Keep { .. }) => ExitCode::StorageFailed,
        ModelError::Fetch(HubError::Hash { .. }) => ExitCode::CorruptData,
        ModelError::Folder(error) if error.is_corruption() => ExitCode::CorruptData,
        ModelError::ReadTokenizer(_) => ExitCode::CorruptData,
        ModelError::Dataset(error) => of_dataset(error),
        ModelError::Fetch(
            HubError::ParseUri(_)
            | HubError::FindLocal { .. }
            | HubError::ChooseFiles { .. }
            | HubError::Forbidden { .. },
        )
        | ModelError::FindFolder { .. }
        | ModelError::NotAFolder { .. }
        | ModelError::Folder(_)
        | ModelError::Config(_)
        | ModelError::Vocabulary { .. }
        | ModelError::TokenBeyond { .. }
        | ModelError::Positions { .. }
        | ModelError::Tokenizer { .. } => ExitCode::InvalidConfig,
    }
}

fn of_checkpoint(error: &CheckpointError) -> ExitCode {
    match error {
        CheckpointError::Write { .. }
        | CheckpointError::List { .. }
        | CheckpointError::Tensors(SafetensorsError::Write { .. } | SafetensorsError::Read { .. }) => {
            ExitCode::StorageFailed
        }
        _ => ExitCode::CorruptData,
    }
}

fn of_rendezvous(error: &RendezvousError) -> ExitCode {
    match error {
        RendezvousError::Listen { .. } => ExitCode::Retryable,
        RendezvousError::Mismatch(_) => ExitCode::InvalidConfig,
        RendezvousError::Absent { .. } | RendezvousError::Lost { .. } => ExitCode::PeerLost,
        RendezvousError::Stopped => ExitCode::Preempted,
        RendezvousError::Collective(error) => of_collective(error),
    }
}

fn of_collective(error: &CollectiveError) -> ExitCode {
    match error {
        CollectiveError::PeerLost { .. } => ExitCode::PeerLost,
        CollectiveError::OutOfStep { .. } | CollectiveError::Links { .. } => ExitCode::InvalidConfig,
    }
}

fn of_step(error: &StepError) -> ExitCode {
    match error {
        StepError::Batch(error) => of_batch(error),
        StepError::Collective(error) => of_collective(error),
        // Training is deterministic: the same job diverges again.
        StepError::Diverged { .. } | StepError::NoTargets { .. } | StepError::Config(_) => ExitCode::InvalidConfig,
        StepError::Model(error) => of_model(error),
        StepError::Checkpoint(error) => of_checkpoint(error),
    }
}

fn of_batch(error: &BatchError) -> ExitCode {
    match error {
        BatchError::Token { .. } | BatchError::Segments { .. } => ExitCode::CorruptData,
    }
}
