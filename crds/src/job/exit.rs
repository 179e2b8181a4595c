//! Exit codes of every Bedplate workload: one table, documented in docs/exit-codes.md.

/// How a workload ended. Codes below 128 are Bedplate's own; a signal shows as 128 + its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
