//! Exit codes of every Bedplate workload: one table, documented in docs/exit-codes.md.

use schemars::JsonSchema;

/// How a workload ended. Codes below 128 are Bedplate's own; a signal shows as 128 + its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ExitCode {
    /// Everything asked for was done.
    Success = 0,
    /// Something of this machine or another process failed; the same job may succeed if started again.
    Retryable = 10,
    /// The job file, the data or the model is wrong; starting again changes nothing.
    InvalidConfig = 11,
    /// The plan does not fit the memory, or an allocation failed.
    OutOfMemory = 12,
    /// Another rank went away or stopped answering.
    PeerLost = 13,
    /// Stopped by SIGTERM or SIGINT after writing a checkpoint; a new attempt resumes at the exact sample.
    Preempted = 14,
    /// The storage is full or cannot be written.
    StorageFailed = 15,
    /// A checkpoint, shard or model file fails its hash.
    CorruptData = 16,
    /// `activeDeadlineSeconds` is used up; a checkpoint was written, and more time in the spec resumes from it.
    DeadlineExceeded = 17,
}

impl ExitCode {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Retryable,
        Self::InvalidConfig,
        Self::OutOfMemory,
        Self::PeerLost,
        Self::Preempted,
        Self::StorageFailed,
        Self::CorruptData,
        Self::DeadlineExceeded,
    ];

    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The table's row for a process' exit status.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// What a person does about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Success | Self::Preempted => "Nothing.",
            Self::Retryable => "Nothing at first; read the message if it comes again.",
            Self::InvalidConfig => "Correct the field that the message names.",
            Self::OutOfMemory => {
                "Give more memory, or lower `microBatchSize` (training), `maxModelLen` or `maxNumSeqs` (serving); the message has the numbers."
            }
            Self::PeerLost => "Look at the rank that the message names: it ended first.",
            Self::StorageFailed => "Free or enlarge the volume; what was durable before is untouched.",
            Self::CorruptData => "Remove the file that the message names; it is made or fetched again.",
            Self::DeadlineExceeded => {
                "Raise `activeDeadlineSeconds` to go on from the checkpoint, or keep what it has."
            }
        }
    }

    /// Whether the same job is started again unless a rule of its own says otherwise.
    pub fn restart(self) -> Restart {
        match self {
            Self::Success | Self::InvalidConfig | Self::OutOfMemory | Self::CorruptData | Self::DeadlineExceeded => {
                Restart::Never
            }
            Self::Preempted => Restart::Free,
            Self::Retryable | Self::PeerLost | Self::StorageFailed => Restart::Counted,
        }
    }
}

/// Whether a job is started again after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is not: the outcome would be the same.
    Never,
    /// It is, and each time counts against the restart budget for infrastructure.
    Counted,
    /// It is, and it counts against nothing.
    Free,
}

impl Restart {
    /// The same in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Counted => "yes, within the budget for infrastructure",
            Self::Free => "yes, at no cost",
        }
    }
}
