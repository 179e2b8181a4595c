//! What every stage is handed. Owns nothing but the grouping.

use bedplate_crds::job::DatasetJob;

use crate::{report::Reporter, source::Roots, stop::Stop, workspace::Workspace};

/// One run of one job.
#[derive(Debug)]
pub struct Context<'a> {
    /// The job.
    pub job: &'a DatasetJob,
    /// Its output folder.
    pub workspace: Workspace,
    /// Where progress goes.
    pub reporter: &'a Reporter,
    /// The wish to stop.
    pub stop: Stop,
    /// Where sources begin.
    pub roots: Roots,
}
