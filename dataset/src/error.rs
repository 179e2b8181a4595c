//! Every way a Dataset can fail, and the exit code of each.

use std::{io, path::Path};

use bedplate_crds::job::exit::ExitCode;
use bedplate_hub::HubError;
use bedplate_telemetry::progress::ProgressError;
use bedplate_tokenizer::shard::ShardError;
use bedplate_workload::removal::RemovalError;

use crate::{
    clean::CleanError,
    dump::DumpError,
    job::JobError,
    pack::PackError,
    record::RecordError,
    sealed::SealedError,
    source::{RemoteError, SourceError},
    stop::Stopped,
    tokenize::TokenizeError,
    vocabulary::{LoadError, VocabularyError},
    workspace::WorkspaceError,
};

/// Why there is no Dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The job file.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The output folder.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Worker threads.
    #[error("cannot start worker threads; lower threads in the job file")]
    StartThreads(#[source] rayon::ThreadPoolBuildError),
    /// Signals.
    #[error("cannot watch for SIGTERM and SIGINT")]
    WatchSignals(#[source] io::Error),
    /// The sources.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Reading and cleaning.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// The tokenizer.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// Tokenising.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// Packing.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Writing the manifest.
    #[error(transparent)]
    Publish(#[from] RecordError),
    /// Writing documents as text.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// Progress events.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// Removing the output folder.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// A signal, before the work could end by itself.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What went wrong, below the stage it went wrong in.
enum Cause<'a> {
    Input,
    Disk,
    Network,
    Busy,
    Stopped,
    Damaged(&'a Path),
}

impl DatasetError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self.cause() {
            Cause::Input => ExitCode::InvalidConfig,
            Cause::Disk => ExitCode::StorageFailed,
            Cause::Network | Cause::Busy => ExitCode::Retryable,
            Cause::Stopped => ExitCode::Preempted,
            Cause::Damaged(_) => ExitCode::CorruptData,
        }
    }

    /// The kept file that is damaged, if that is what went wrong.
    pub fn damaged_file(&self) -> Option<&Path> {
        match self.cause() {
            Cause::Damaged(path) => Some(path),
            _ => None,
        }
    }

    fn cause(&self) -> Cause<'_> {
        match self {
            Self::Job(_) => Cause::Input,
            Self::Workspace(WorkspaceError::Lock { .. }) | Self::StartThreads(_) | Self::WatchSignals(_) => Cause::Busy,
            Self::Workspace(WorkspaceError::Prepare(_)) | Self::Publish(_) | Self::Progress(_) => Cause::Disk,
            Self::Source(error) | Self::Clean(CleanError::Source(error)) => source(error),
            Self::Clean(error) => clean(error),
            Self::Vocabulary(error) => vocabulary(error),
            Self::Tokenize(error) => tokenize(error),
            Self::Pack(error) => pack(error),
            Self::Dump(DumpError::Store(error)) => sealed(error),
            Self::Dump(DumpError::Write(_)) => Cause::Disk,
            Self::Dump(DumpError::Stopped(Stopped)) | Self::Stopped(Stopped) => Cause::Stopped,
            Self::Removal(RemovalError::Remove { .. }) => Cause::Disk,
            Self::Removal(_) => Cause::Input,
        }
    }
}

fn source(error: &SourceError) -> Cause<'_> {
    match error {
        SourceError::Remote { source, .. } => remote(source),
        SourceError::Read { source, .. } => read(source),
        SourceError::Spool { .. } => Cause::Disk,
        SourceError::Stopped(Stopped) => Cause::Stopped,
        SourceError::ParseUri { .. }
        | SourceError::ParseGlob { .. }
        | SourceError::FindLocal { .. }
        | SourceError::List { .. }
        | SourceError::NoMatch { .. }
        | SourceError::Foreign { .. }
        | SourceError::Unsupported { .. }
        | SourceError::TooManyErrors { .. }
        | SourceError::BrokenLine { .. }
        | SourceError::Parquet { .. } => Cause::Input,
    }
}

/// A remote reader wraps its error into the one type that `Read` knows.
fn read(error: &io::Error) -> Cause<'_> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RemoteError>());
    inner.map_or(Cause::Input, remote)
}

fn remote(error: &RemoteError) -> Cause<'_> {
    match error {
        RemoteError::Reach { .. } | RemoteError::Changed { .. } | RemoteError::Prepare(_) => Cause::Network,
        RemoteError::Stopped(Stopped) => Cause::Stopped,
        RemoteError::ParseUri { .. }
        | RemoteError::Find { .. }
        | RemoteError::Access { .. }
        | RemoteError::Answer { .. } => Cause::Input,
    }
}

fn sealed(error: &SealedError) -> Cause<'_> {
    match error {
        SealedError::Write { .. } => Cause::Disk,
        SealedError::Damaged { path } => Cause::Damaged(path),
    }
}

fn clean(error: &CleanError) -> Cause<'_> {
    match error {
        CleanError::Source(error) => source(error),
        CleanError::Decode { .. } | CleanError::Nul { .. } | CleanError::Empty { .. } => Cause::Input,
        CleanError::Store(error) => sealed(error),
        CleanError::Record(_) | CleanError::Progress(_) => Cause::Disk,
        CleanError::Stopped(Stopped) => Cause::Stopped,
    }
}

fn vocabulary(error: &VocabularyError) -> Cause<'_> {
    match error {
        VocabularyError::Sample { .. }
        | VocabularyError::Fill { .. }
        | VocabularyError::EndOfText
        | VocabularyError::Use(_) => Cause::Input,
        VocabularyError::Load(error) => load(error),
        VocabularyError::Store(error) => sealed(error),
        VocabularyError::Record(_) | VocabularyError::Progress(_) => Cause::Disk,
        VocabularyError::Stopped(Stopped) => Cause::Stopped,
    }
}

fn load(error: &LoadError) -> Cause<'_> {
    match error {
        LoadError::ParseUri { .. } | LoadError::Find { .. } | LoadError::Size { .. } => Cause::Input,
        LoadError::Fetch(error) => remote(error),
        LoadError::Read(error) => read(error),
        LoadError::Hub(
            HubError::ParseUri(_)
            | HubError::FindLocal { .. }
            | HubError::ChooseFiles { .. }
            | HubError::Forbidden { .. },
        ) => Cause::Input,
        LoadError::Hub(HubError::Check { .. } | HubError::Keep { .. }) => Cause::Disk,
        LoadError::Hub(_) => Cause::Network,
        LoadError::Keep(_) => Cause::Disk,
    }
}

fn tokenize(error: &TokenizeError) -> Cause<'_> {
    match error {
        TokenizeError::Encode(_) => Cause::Input,
        TokenizeError::Store(error) => sealed(error),
        TokenizeError::Prepare(_) | TokenizeError::Progress(_) => Cause::Disk,
        TokenizeError::Stopped(Stopped) => Cause::Stopped,
    }
}

fn pack(error: &PackError) -> Cause<'_> {
    match error {
        PackError::Shard(ShardError::Write { .. }) | PackError::Place(_) | PackError::Progress(_) => Cause::Disk,
        // The rest of a shard's errors cannot come of writing one, but for a token that does not fit its width.
        PackError::Shard(_) | PackError::NoTraining { .. } => Cause::Input,
        PackError::Store(error) => sealed(error),
        PackError::Stopped(Stopped) => Cause::Stopped,
    }
}
