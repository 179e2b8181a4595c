//! Whether the spec of a resource that refers to others is accepted.
//!
//! Owns the condition `Accepted` of TrainingJobs and ModelDeployments. Never checks a spec; making the children does.

use bedplate_crds::conditions::{ConditionType, Reason};
use k8s_openapi::jiff::Timestamp;

use super::{
    children::ChildrenError,
    conditions::Conditions,
    gate::{self, Blocker},
    owner::Owner,
};

/// Sets `Accepted`; what is refused, if anything is.
pub fn accept(
    conditions: &mut Conditions<'_>,
    refused: Option<&ChildrenError>,
    owner: &Owner,
    now: Timestamp,
) -> Option<Blocker> {
    let Some(error) = refused else {
        let message = "the spec is valid, and all it refers to is there";
        conditions.set(ConditionType::Accepted, true, Reason::Accepted, message);
        return None;
    };
    let blocker = gate::settle(owner, now, Blocker { reason: error.reason(), message: error.to_string() });
    conditions.set(ConditionType::Accepted, false, blocker.reason, &blocker.message);
    Some(blocker)
}
