//! How a run ended, and the exit code that says so.
//!
//! Owns the mapping to one number. The codes of the workers (docs/exit-codes.md) are used for the run as well.

use bedplate_crds::job::exit::ExitCode;

use crate::state::records::Reason;

/// Told by `bedplate run --help`.
pub const EXIT_CODE_HELP: &str = "\
Exit codes:
  0   everything asked for was done
  1   bedplate itself could not go on
  2   the command line is wrong
  10  something of this machine failed (state folder in use, port taken, process killed); the same command may succeed later
  11  a manifest, the data or a model is wrong, nothing else helps but changing it
  12  out of memory
  13  a rank of a training went away
  14  stopped by Ctrl-C or SIGTERM before everything was done; the same command resumes
  15  the storage is full or cannot be written
  16  a checkpoint, shard or model file fails its hash
  17  spec.activeDeadlineSeconds of a training is used up; more of it resumes
  N   the COMMAND of --exec ended with N";

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was done.
    Done,
    /// A person or the system stopped it before that.
    Interrupted,
    /// A resource failed for this reason.
    Failed(Reason),
    /// The command of `--exec` ended with this code.
    CommandFailed(i32),
}

impl Outcome {
    /// The exit code of `bedplate run`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => ExitCode::Success.code(),
            Self::Interrupted => ExitCode::Preempted.code(),
            Self::Failed(reason) => exit_of(reason).code(),
            Self::CommandFailed(code) => u8::try_from(code).unwrap_or(u8::MAX),
        }
    }
}

/// The row of the table that a reason belongs to.
fn exit_of(reason: Reason) -> ExitCode {
    match reason {
        Reason::InvalidConfig => ExitCode::InvalidConfig,
        Reason::OutOfMemory => ExitCode::OutOfMemory,
        Reason::PeerLost => ExitCode::PeerLost,
        Reason::StorageFailed => ExitCode::StorageFailed,
        Reason::CorruptData => ExitCode::CorruptData,
        Reason::Preempted => ExitCode::Preempted,
        Reason::DeadlineExceeded => ExitCode::DeadlineExceeded,
        Reason::WaitingForDependency
        | Reason::WaitingForTurn
        | Reason::Suspended
        | Reason::Restarting
        | Reason::UpToDate
        | Reason::Interrupted
        | Reason::RunEnded
        | Reason::RunFailed
        | Reason::RunLost
        | Reason::Retryable
        | Reason::Signalled
        | Reason::UnknownExitCode
        | Reason::NoResult
        | Reason::StartFailed => ExitCode::Retryable,
    }
}

/// The reason that a run's end gives to what was still going on.
pub fn reason_of_stopped(outcome: Outcome) -> Reason {
    match outcome {
        Outcome::Done | Outcome::CommandFailed(_) => Reason::RunEnded,
        Outcome::Interrupted => Reason::Interrupted,
        Outcome::Failed(_) => Reason::RunFailed,
    }
}
