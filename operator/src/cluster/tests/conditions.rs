//! Transitions, and what a person is told.

use bedplate_crds::conditions::{ConditionType, Reason};

use super::at;
use crate::cluster::conditions::Conditions;

const TYPES: [ConditionType; 2] = [ConditionType::Accepted, ConditionType::Admitted];

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut first = Conditions::new(&TYPES, &[], 1, at(0));
    first.set(ConditionType::Admitted, false, Reason::StorageNotFound, "no claim");
    let (before, _) = first.finish();
    let mut second = Conditions::new(&TYPES, &before, 2, at(9));
    second.set(ConditionType::Admitted, false, Reason::WaitingForDataset, "no shards");
    let (next, notes) = second.finish();
    assert_eq!((next[1].last_transition_time.0, next[1].observed_generation), (at(0), Some(2)));
    assert!(notes.is_empty(), "DatasetReady tells of it");
    let mut third = Conditions::new(&TYPES, &next, 2, at(18));
    third.set(ConditionType::Admitted, true, Reason::Admitted, "go");
    assert_eq!(third.finish().0[1].last_transition_time.0, at(18));
}

#[test]
fn what_has_not_changed_is_told_once() {
    let said = |before: &[_]| {
        let mut conditions = Conditions::new(&TYPES, before, 1, at(0));
        conditions.set(ConditionType::Accepted, false, Reason::InvalidSpec, "wrong");
        conditions.finish()
    };
    let (first, notes) = said(&[]);
    assert!(notes.len() == 1 && notes[0].is_warning);
    assert!(said(&first).1.is_empty());
}

#[test]
fn a_message_that_the_api_server_would_refuse_is_cut() {
    let mut conditions = Conditions::new(&TYPES, &[], 1, at(0));
    conditions.set(ConditionType::Accepted, false, Reason::InvalidSpec, "ä".repeat(40_000));
    assert_eq!(conditions.finish().0[0].message.chars().count(), 32_768);
}
