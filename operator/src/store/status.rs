//! How an attempt stands, from the facts that the tables hold. Pure; never stored, since it follows.

use bedplate_crds::job::exit::ExitCode;
use serde::Serialize;

/// Exit statuses of a process that SIGINT or SIGTERM ended before it could answer: 128 and the number of the signal.
const ASKED_TO_STOP: [i32; 2] = [130, 143];

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// It has not ended.
    Running,
    /// Its endpoint answers.
    Serving,
    /// Its work is done.
    Completed,
    /// It ended early with an error.
    Failed,
    /// It was asked to stop; what it did is kept.
    Stopped,
    /// Whoever supervised it went away.
    Lost,
}

impl Status {
    /// The word in the list.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Serving => "Serving",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Lost => "Lost",
        }
    }
}

/// What is known of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Its process is gone.
    pub ended: bool,
    /// Nobody saw it go.
    pub lost: bool,
    /// Its endpoint answered.
    pub ready: bool,
    /// It reported that its work was done.
    pub completed: bool,
    /// It reported why it ended early.
    pub failed: bool,
    /// Exit status of its process.
    pub exit_code: Option<i32>,
    /// The exit status that it announced.
    pub failure_code: Option<i32>,
}

impl Facts {
    pub(super) fn status(self) -> Status {
        let Self { ended, lost, ready, completed, failed, exit_code, failure_code } = self;
        let code = exit_code.or(failure_code);
        match code.map(ExitCode::from_code) {
            Some(Some(ExitCode::Preempted)) => Status::Stopped,
            Some(None) if code.is_some_and(|code| ASKED_TO_STOP.contains(&code)) && !failed => Status::Stopped,
            Some(Some(ExitCode::Success)) | None if completed && !failed => Status::Completed,
            _ if !ended && ready && !failed => Status::Serving,
            _ if !ended && !failed => Status::Running,
            _ if failed => Status::Failed,
            _ if lost => Status::Lost,
            // A server that was told to end, or a process that was stopped before it could say anything.
            Some(Some(ExitCode::Success)) | None => Status::Stopped,
            Some(_) => Status::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: Facts, expect: Status) {
        assert_eq!(facts.status(), expect, "{facts:?}");
    }

    #[test]
    fn an_attempt_runs_until_it_says_or_is_seen_otherwise() {
        let begun = Facts::default();
        check(begun, Status::Running);
        check(Facts { ready: true, ..begun }, Status::Serving);
        check(Facts { completed: true, ..begun }, Status::Completed);
        check(Facts { failed: true, failure_code: Some(11), ..begun }, Status::Failed);
    }

    #[test]
    fn an_end_is_told_by_reports_and_exit_status_together() {
        let ended = Facts { ended: true, ..Facts::default() };
        check(Facts { completed: true, exit_code: Some(0), ..ended }, Status::Completed);
        check(Facts { completed: true, exit_code: Some(139), ..ended }, Status::Failed);
        check(Facts { failed: true, failure_code: Some(14), exit_code: Some(14), ..ended }, Status::Stopped);
        check(Facts { failed: true, failure_code: Some(15), exit_code: Some(15), ..ended }, Status::Failed);
        check(Facts { ready: true, exit_code: Some(0), ..ended }, Status::Stopped);
        check(Facts { exit_code: Some(137), ..ended }, Status::Failed);
        check(Facts { exit_code: Some(143), ..ended }, Status::Stopped);
        check(ended, Status::Stopped);
    }

    #[test]
    fn nobody_saw_a_lost_attempt_end_but_its_last_word_counts() {
        let lost = Facts { ended: true, lost: true, ..Facts::default() };
        check(lost, Status::Lost);
        check(Facts { ready: true, ..lost }, Status::Lost);
        check(Facts { completed: true, ..lost }, Status::Completed);
        check(Facts { failed: true, failure_code: Some(12), ..lost }, Status::Failed);
    }
}
