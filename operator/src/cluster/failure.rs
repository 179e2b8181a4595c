//! How a pod's process ended early, in the words of the exit-code table.
//!
//! Owns the way from a container's state to a reason and one sentence that says what to do. Never decides what follows.

use bedplate_crds::{
    conditions::Reason,
    job::{
        exit::{ExitCode, Restart},
        termination::TerminationMessage,
    },
};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, Pod},
    jiff::{SignedDuration, Timestamp},
};

use super::pods;

/// Exit codes from here on are 128 + the number of a signal (POSIX shells and container runtimes alike).
const SIGNAL_BASE: i32 = 128;
/// Characters of a log's last line that a status repeats: the rest is in the log.
const MAX_LOG_CHARS: usize = 500;

/// Processes of one job that end within this time end of one cause: a rank misses another after seconds, and ends.
const TOGETHER: SignedDuration = SignedDuration::from_secs(60);

/// One end that was no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The pod.
    pub pod: String,
    /// Exit code of the process; none where the pod ended without it.
    pub exit_code: Option<i32>,
    /// Why.
    pub reason: Reason,
    /// The same in one sentence, and what to do.
    pub message: String,
    /// When.
    pub time: Option<Timestamp>,
}

impl Failure {
    /// Whether starting again could help nobody but the author of the spec.
    pub fn is_of_user(&self) -> bool {
        matches!(
            self.reason,
            Reason::InvalidConfig
                | Reason::OutOfMemory
                | Reason::CorruptData
                | Reason::DeadlineExceeded
                | Reason::WorkloadFailed
        )
    }

    /// Whether it was told to end, or ended because another did.
    fn is_consequence(&self) -> bool {
        matches!(self.reason, Reason::PeerLost | Reason::Preempted)
    }
}

/// The end of a pod's process, of the present one or of the one before it; none if neither failed.
pub fn of(pod: &Pod) -> Option<Failure> {
    match pods::terminated(pod) {
        Some(end) if end.exit_code == 0 => None,
        Some(end) => Some(of_process(pod, end)),
        None => of_pod(pod),
    }
}

/// The one of several that says most: of those that came with the latest, the last that is not merely the consequence of
/// another.
pub fn root<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<Failure> {
    let failures: Vec<Failure> = pods.into_iter().filter_map(of).collect();
    let latest = failures.iter().filter_map(|failure| failure.time).max();
    let came_with_latest = |failure: &Failure| match (failure.time, latest) {
        (Some(time), Some(latest)) => latest.duration_since(time) <= TOGETHER,
        (None, _) | (_, None) => latest.is_none(),
    };
    let key = |failure: &Failure| (!failure.is_consequence(), failure.time, failure.pod.clone());
    failures.into_iter().filter(came_with_latest).max_by_key(key)
}

fn of_process(pod: &Pod, end: &ContainerStateTerminated) -> Failure {
    let code = end.exit_code;
    let text = end.message.as_deref().unwrap_or_default();
    let said = match TerminationMessage::from_json(text) {
        Some(message) => message.message.unwrap_or_default(),
        None => last_line(text),
    };
    let name = pods::name(pod);
    let (reason, message) = match ExitCode::from_code(code) {
        _ if end.reason.as_deref() == Some("OOMKilled") => {
            let remedy = ExitCode::OutOfMemory.remedy();
            (Reason::OutOfMemory, format!("pod {name} was killed at its memory limit. {remedy}"))
        }
        Some(exit) => {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            // A preemption asks nothing of anybody.
            let remedy = if exit.restart() == Restart::Free { String::new() } else { format!(". {}", exit.remedy()) };
            (reason_of(exit), format!("pod {name} ended with exit code {code} ({exit:?}){said}{remedy}"))
        }
        None if code > SIGNAL_BASE => {
            let signal = code - SIGNAL_BASE;
            let cause = pods::disruption(pod).unwrap_or("kubectl describe pod may say by whom");
            (Reason::InfrastructureFailed, format!("pod {name} was ended by signal {signal}: {cause}"))
        }
        None => {
            let remedy = format!("read its log: kubectl logs {name}");
            (Reason::WorkloadFailed, format!("pod {name} ended with exit code {code}: {said}; {remedy}"))
        }
    };
    let time = end.finished_at.as_ref().map(|time| time.0);
    Failure { pod: name.to_owned(), exit_code: Some(code), reason, message, time }
}

/// A pod that failed though no process of it ended: a node refused or lost it.
fn of_pod(pod: &Pod) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let name = pods::name(pod);
    let cause = status.message.as_deref().or_else(|| pods::disruption(pod)).unwrap_or("its node gave no reason");
    let word = status.reason.as_deref().unwrap_or("Failed");
    let message = format!("pod {name} was lost ({word}): {cause}");
    let time = status.start_time.as_ref().map(|time| time.0);
    Some(Failure { pod: name.to_owned(), exit_code: None, reason: Reason::InfrastructureFailed, message, time })
}

fn reason_of(exit: ExitCode) -> Reason {
    match exit {
        ExitCode::Success => Reason::Completed,
        ExitCode::Retryable => Reason::InfrastructureFailed,
        ExitCode::InvalidConfig => Reason::InvalidConfig,
        ExitCode::OutOfMemory => Reason::OutOfMemory,
        ExitCode::PeerLost => Reason::PeerLost,
        ExitCode::Preempted => Reason::Preempted,
        ExitCode::StorageFailed => Reason::StorageFailed,
        ExitCode::CorruptData => Reason::CorruptData,
        ExitCode::DeadlineExceeded => Reason::DeadlineExceeded,
    }
}

/// The end of a log, which stands in for a message that the process could not leave.
fn last_line(log: &str) -> String {
    let line = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it left no message");
    line.trim().chars().take(MAX_LOG_CHARS).collect()
}
