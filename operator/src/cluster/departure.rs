//! The deletion of a Dataset or a TrainingJob, from what was seen of it.
//!
//! Owns the way from an [`Observed`] to the next step of [`removal`], and how the status tells of it.

use bedplate_crds::conditions::ConditionType;

use super::{
    children::JobChildren,
    conditions::Conditions,
    gate,
    job_view::JobView,
    names,
    observed::Observed,
    owner::Owner,
    removal::{self, Remains, Removal},
    users,
};
use crate::resource::Metadata;

/// A resource that is being deleted.
#[derive(Debug)]
pub struct Departure<'a> {
    /// It.
    pub owner: &'a Owner,
    /// Its metadata.
    pub metadata: &'a Metadata,
    /// Its children as they would be made now.
    pub children: Option<&'a JobChildren>,
    /// Whether a pod of it ever ran, so that there may be files.
    pub has_files: bool,
}

/// The next step.
pub fn step<S>(departure: &Departure<'_>, observed: &Observed<S>, view: JobView<'_>) -> Removal {
    let Departure { owner, metadata, children, has_files } = *departure;
    let cleanup_name = names::cleanup_job(owner.kind, &owner.name);
    let remains = Remains {
        view,
        cleanup: JobView::new(owner, observed.cleanup.as_ref(), &observed.pods, &cleanup_name),
        refused: observed.cleanup_refused.as_deref(),
        users: users::of(owner.kind, metadata, &observed.referrers),
        has_files,
        children,
        has_config_map: observed.config_map.is_some(),
        missing_claim: children
            .and_then(|children| gate::missing_claim(&children.claims, &observed.claims, &metadata.namespace)),
    };
    removal::step(owner, &remains, observed.now)
}

/// Says so in the conditions.
pub fn tell(conditions: &mut Conditions<'_>, removal: &Removal) {
    let waits_for = &removal.waits_for;
    conditions.set(ConditionType::Deleting, true, waits_for.reason, &waits_for.message);
}
