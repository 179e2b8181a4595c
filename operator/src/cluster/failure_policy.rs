//! What a Job does when a pod of it fails: Bedplate's exit codes as a `podFailurePolicy`.
//!
//! Owns the order: the spec's own rules, then disruptions, then the table of exit codes (crds/src/job/exit.rs).

use std::collections::BTreeMap;

use bedplate_crds::{
    job::exit::{ExitCode, Restart},
    training_job::{FailureAction, FailureRule},
};
use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};

/// Failures a job may have between two durable checkpoints, each of its processes: a machine that fails more often is not
/// going to get the job done, and six is what Kubernetes itself allows a Job.
pub const RESTART_BUDGET: i32 = 6;

/// The policy for one container. At most 20 rules of 255 codes are allowed; this has at most five.
pub fn policy(container: &str, own: &[FailureRule]) -> PodFailurePolicy {
    let own = own_actions(own);
    let codes = |action: Action| own.iter().filter(move |(_, of)| **of == action).map(|(code, _)| *code);
    let default_codes = |restart: Restart| {
        let of_table = ExitCode::ALL.into_iter().filter(move |exit| exit.restart() == restart);
        of_table.map(|exit| i32::from(exit.code())).filter(|code| *code != 0 && !own.contains_key(code))
    };
    let mut rules = Vec::new();
    let fail = codes(Action::FailJob).chain(default_codes(Restart::Never)).collect();
    rules.extend(on_exit_codes(container, Action::FailJob, fail));
    rules.extend(on_exit_codes(container, Action::Ignore, codes(Action::Ignore).collect()));
    rules.extend(on_exit_codes(container, Action::Count, codes(Action::Count).collect()));
    rules.push(on_disruption());
    rules.extend(on_exit_codes(container, Action::Ignore, default_codes(Restart::Free).collect()));
    PodFailurePolicy { rules }
}

/// What Kubernetes can do about a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    FailJob,
    Ignore,
    Count,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::FailJob => "FailJob",
            Self::Ignore => "Ignore",
            Self::Count => "Count",
        }
    }
}

/// The first rule that names a code holds. A restart of any kind is a counted one: the process' pod is made anew, and the
/// other ranks end by themselves when they lose it and are made anew as well.
fn own_actions(rules: &[FailureRule]) -> BTreeMap<i32, Action> {
    let mut actions = BTreeMap::new();
    for rule in rules {
        let action = match rule.action {
            FailureAction::FailJob => Action::FailJob,
            FailureAction::Ignore => Action::Ignore,
            FailureAction::RestartInPlace | FailureAction::RestartJob => Action::Count,
        };
        for code in &rule.exit_codes {
            actions.entry(*code).or_insert(action);
        }
    }
    actions
}

fn on_exit_codes(container: &str, action: Action, mut values: Vec<i32>) -> Option<PodFailurePolicyRule> {
    values.sort_unstable();
    (!values.is_empty()).then(|| PodFailurePolicyRule {
        action: action.name().to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(container.to_owned()),
            operator: "In".to_owned(),
            values,
        }),
        on_pod_conditions: None,
    })
}

/// A drain, a preemption, a node that is lost: nobody's fault, and it counts against nothing.
fn on_disruption() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: Action::Ignore.name().to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: Some("True".to_owned()),
        }]),
    }
}
