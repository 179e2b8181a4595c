//! The history store: what ran, how it went, and what came out of what, in Postgres.
//!
//! What do we store, and why not in the resource? Runs and attempts outlive the resource; step metrics are too many for it;
//! lineage spans resources. Nothing here is read to decide what runs: losing Postgres loses history only, and every write
//! may be repeated, since each key is derived from what the row describes. Of all that is deployed only the operator links
//! this; the command line uses the same code on a laptop. Never spools: whoever writes keeps what is not yet written.

mod accepted;
mod attempts;
mod connect;
mod error;
pub mod ids;
mod lineage;
pub mod local_server;
mod progress;
mod records;
mod run_detail;
mod runs;
mod schema;
mod status;

pub use connect::{Endpoint, Store};
pub use error::StoreError;
pub use lineage::{Lineage, LineageArtefact, LineageAttempt, LineageEdge, LineageStart};
pub use progress::timestamp;
pub use records::{Artefact, ArtefactKind, AttemptPosition, Direction, LastAttempt, NewAttempt, Outcome, RunKey};
pub use run_detail::{
    AttemptDetail, CheckpointDetail, EvaluationDetail, LOSS_POINTS, LossPoint, RunDetail, StageDetail,
};
pub use runs::RunSummary;
pub use status::Status;
