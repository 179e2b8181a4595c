//! The conditions of one status, from the first reconcile on all of them.
//!
//! Owns when a transition is one (its status changed; a new reason or message is none) and which change a person is told of.

use bedplate_crds::conditions::{ConditionType, Reason};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::{decision::Note, gate::Blocker};

/// Longest message that the API server takes (`maxLength` of `metav1.Condition`).
const MAX_MESSAGE_CHARS: usize = 32_768;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be known yet.
    Unknown,
}

impl Truth {
    /// The word in the condition.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(is_true: bool) -> Self {
        if is_true { Self::True } else { Self::False }
    }
}

/// The conditions of a kind while they are found out.
#[derive(Debug)]
pub struct Conditions<'a> {
    previous: &'a [Condition],
    next: Vec<Condition>,
    generation: i64,
    now: Timestamp,
    notes: Vec<Note>,
}

impl<'a> Conditions<'a> {
    /// All of them unknown.
    pub fn new(types: &[ConditionType], previous: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        let mut conditions = Self { previous, next: Vec::new(), generation, now, notes: Vec::new() };
        conditions.next = types.iter().map(|of| conditions.unknown(*of)).collect();
        conditions
    }

    fn unknown(&self, of: ConditionType) -> Condition {
        Condition {
            type_: of.to_string(),
            status: Truth::Unknown.name().to_owned(),
            reason: Reason::Pending.to_string(),
            message: "nothing is known yet".to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: self.transition_time(of, Truth::Unknown),
        }
    }

    fn transition_time(&self, of: ConditionType, truth: Truth) -> Time {
        match find(self.previous, of) {
            Some(before) if before.status == truth.name() => before.last_transition_time.clone(),
            _ => Time(self.now),
        }
    }

    /// Says how it is. A type that the kind does not have is passed over.
    pub fn set(&mut self, of: ConditionType, truth: impl Into<Truth>, reason: Reason, message: impl Into<String>) {
        let truth = truth.into();
        let last_transition_time = self.transition_time(of, truth);
        let message = shorten(message.into());
        let is_new = find(self.previous, of)
            .is_none_or(|before| before.status != truth.name() || before.reason != reason.to_string());
        let name = of.to_string();
        let Some(condition) = self.next.iter_mut().find(|condition| condition.type_ == name) else { return };
        condition.status = truth.name().to_owned();
        condition.reason = reason.to_string();
        condition.message.clone_from(&message);
        condition.last_transition_time = last_transition_time;
        if is_new && is_told(of, truth, reason) {
            self.note(Note { is_warning: is_warning(reason), reason, message });
        }
    }

    /// Takes over what was said before: nothing new is found out of a resource that goes.
    pub fn repeat(&mut self) {
        for condition in &mut self.next {
            if let Some(before) = self.previous.iter().find(|before| before.type_ == condition.type_) {
                *condition = before.clone();
            }
        }
    }

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Whether it was true at the reconcile before.
    pub fn was_true(&self, of: ConditionType) -> bool {
        is_true(self.previous, of)
    }

    /// What was said of it at the reconcile before, if it was true then.
    pub fn cause(&self, of: ConditionType) -> Option<Blocker> {
        let before = find(self.previous, of).filter(|before| before.status == Truth::True.name())?;
        let reason = serde_json::from_value(before.reason.clone().into()).ok()?;
        Some(Blocker { reason, message: before.message.clone() })
    }

    /// The conditions, in the order of the kind's list, and what to tell.
    pub fn finish(self) -> (Vec<Condition>, Vec<Note>) {
        (self.next, self.notes)
    }
}

/// The condition of that type, if it is there.
pub fn find(conditions: &[Condition], of: ConditionType) -> Option<&Condition> {
    let name = of.to_string();
    conditions.iter().find(|condition| condition.type_ == name)
}

/// Whether the condition of that type is there and true.
pub fn is_true(conditions: &[Condition], of: ConditionType) -> bool {
    find(conditions, of).is_some_and(|condition| condition.status == Truth::True.name())
}

/// An Event for each step forward and for each trouble; not for the ten that say "not yet".
fn is_told(of: ConditionType, truth: Truth, reason: Reason) -> bool {
    match reason {
        Reason::Pending | Reason::NotRequested | Reason::NotFinished | Reason::NoCheckpoint | Reason::AsExpected => {
            false
        }
        Reason::WaitingForDataset | Reason::WaitingForModel => of != ConditionType::Admitted,
        // `Accepted` tells of it first, and names the field.
        Reason::ReferenceNotFound => !matches!(of, ConditionType::DatasetReady | ConditionType::ModelReady),
        Reason::Preempted => of == ConditionType::Running,
        _ if is_warning(reason) => true,
        Reason::Suspended => of == ConditionType::Suspended,
        _ => truth == Truth::True && of != ConditionType::Failed,
    }
}

/// Whether somebody has to do something, or should at least know.
fn is_warning(reason: Reason) -> bool {
    match reason {
        Reason::InvalidSpec
        | Reason::ReferenceNotFound
        | Reason::StorageNotFound
        | Reason::StorageNotBound
        | Reason::QuotaExceeded
        | Reason::InsufficientResources
        | Reason::PodsRefused
        | Reason::ImagePullFailed
        | Reason::InvalidConfig
        | Reason::OutOfMemory
        | Reason::PeerLost
        | Reason::StorageFailed
        | Reason::CorruptData
        | Reason::InfrastructureFailed
        | Reason::WorkloadFailed
        | Reason::RestartBudgetSpent
        | Reason::DeadlineExceeded
        | Reason::InUse
        | Reason::CleanupFailed => true,
        Reason::Pending
        | Reason::Accepted
        | Reason::NotRequested
        | Reason::WaitingForDataset
        | Reason::WaitingForModel
        | Reason::DatasetReady
        | Reason::ModelReady
        | Reason::WaitingForQuota
        | Reason::Admitted
        | Reason::Suspended
        | Reason::PodsStarting
        | Reason::PodsReady
        | Reason::Running
        | Reason::Checkpointed
        | Reason::NoCheckpoint
        | Reason::AsExpected
        | Reason::NotFinished
        | Reason::Completed
        | Reason::Preempted
        | Reason::RollingOut
        | Reason::RolledOut
        | Reason::Serving
        | Reason::NotServing
        | Reason::CleaningUp => false,
    }
}

fn shorten(message: String) -> String {
    if message.chars().count() <= MAX_MESSAGE_CHARS {
        return message;
    }
    message.chars().take(MAX_MESSAGE_CHARS - 1).chain(['…']).collect()
}
