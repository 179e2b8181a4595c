//! What follows when a process fails: again, or the end.
//!
//! Owns the manifest's own rules and the budget; what holds where no rule matches is the table of `crds`. Pure: time and chance are not asked.

use std::time::Duration;

use bedplate_crds::{
    job::exit::{ExitCode, Restart},
    training_job::{FailureAction, FailureRule},
};

/// Restarts without a new durable checkpoint between them; a fault that three restarts do not cure is no passing one.
const MAX_RESTARTS: u32 = 3;
/// Restarts that the manifest says count nothing; without a bound a wrong rule would spin for ever.
const MAX_UNCOUNTED_RESTARTS: u32 = 100;
/// Pause before the first restart; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause: a person is watching.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every process of the job starts again after a pause. With local processes a rank alone cannot: the others meet
    /// once, at their start.
    Restart {
        /// How long to wait.
        pause: Duration,
        /// Restarts left, where they are counted.
        left: u32,
    },
    /// The job has failed.
    Fail,
}

/// The restarts that a job still has.
#[derive(Clone, Debug)]
pub struct Budget {
    rules: Vec<FailureRule>,
    counted: u32,
    uncounted: u32,
    checkpoint_step: u64,
}

impl Budget {
    /// A full one. `rules` are those of the manifest, the first match wins; where none matches the default table does.
    pub fn new(rules: &[FailureRule]) -> Self {
        Self { rules: rules.to_vec(), counted: 0, uncounted: 0, checkpoint_step: 0 }
    }

    /// What follows on this exit code, with the newest checkpoint at that step. A newer one fills the budget again.
    pub fn decide(&mut self, exit_code: i32, checkpoint_step: u64) -> Decision {
        if checkpoint_step > self.checkpoint_step {
            (self.checkpoint_step, self.counted) = (checkpoint_step, 0);
        }
        match self.action(exit_code) {
            FailureAction::FailJob => Decision::Fail,
            FailureAction::Ignore if self.uncounted < MAX_UNCOUNTED_RESTARTS => {
                self.uncounted += 1;
                Decision::Restart { pause: pause(self.uncounted), left: MAX_RESTARTS - self.counted }
            }
            FailureAction::RestartInPlace | FailureAction::RestartJob if self.counted < MAX_RESTARTS => {
                self.counted += 1;
                Decision::Restart { pause: pause(self.counted), left: MAX_RESTARTS - self.counted }
            }
            FailureAction::Ignore | FailureAction::RestartInPlace | FailureAction::RestartJob => Decision::Fail,
        }
    }

    fn action(&self, exit_code: i32) -> FailureAction {
        let rule = self.rules.iter().find(|rule| rule.exit_codes.contains(&exit_code));
        rule.map_or_else(|| default_action(exit_code), |rule| rule.action)
    }
}

/// The table of docs/exit-codes.md. A signal from outside (the kernel short of memory, a person) may not come again; any
/// other code is a panic, and that does.
fn default_action(exit_code: i32) -> FailureAction {
    match ExitCode::from_code(exit_code).map(ExitCode::restart) {
        Some(Restart::Counted) => FailureAction::RestartJob,
        Some(Restart::Free) => FailureAction::Ignore,
        None if exit_code > 128 => FailureAction::RestartJob,
        Some(Restart::Never) | None => FailureAction::FailJob,
    }
}

fn pause(restart: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << restart.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_restarted(budget: &mut Budget, code: i32) -> bool {
        budget.decide(code, 0) != Decision::Fail
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
        let restarted: Vec<i32> = (0..140).filter(|&code| is_restarted(&mut Budget::new(&[]), code)).collect();
        let expected: Vec<i32> = [10, 13, 14, 15].into_iter().chain(129..140).collect();
        assert_eq!(restarted, expected);
    }

    #[test]
    fn the_budget_ends_and_a_checkpoint_fills_it() {
        let mut budget = Budget::new(&[]);
        let mut restarts = |step| (0..10).take_while(|_| budget.decide(10, step) != Decision::Fail).count();
        assert_eq!((restarts(0), restarts(0), restarts(50), restarts(50)), (3, 0, 3, 0));
    }

    #[test]
    fn pauses_grow_and_stop_growing() {
        let pauses: Vec<u64> = (1..8).map(|restart| pause(restart).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn the_manifests_first_matching_rule_wins() {
        let rule = |exit_codes: &[i32], action| FailureRule { exit_codes: exit_codes.to_vec(), action };
        let rules = [rule(&[12], FailureAction::Ignore), rule(&[10, 12], FailureAction::FailJob)];
        let mut budget = Budget::new(&rules);
        assert!(!is_restarted(&mut budget, 10));
        assert_eq!((0..1000).filter(|_| is_restarted(&mut budget, 12)).count(), 100);
        assert!(is_restarted(&mut budget, 13));
    }
}
