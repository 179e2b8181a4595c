//! Bedplate on a real Kubernetes, as a user sees it: through `helm` and `kubectl`. `e2e/run.sh` brings the cluster up and runs this.
//!
//! Each test has a namespace of its own. A test that disturbs the cluster itself has it alone, see `cluster::Cluster::alone`.
#![forbid(unsafe_code)]

mod bundled;
mod cluster;
mod control_plane;
mod dashboards;
mod history;
mod install;
mod jwt;
mod laptop;
mod lifecycle;
mod namespace;
mod node;
mod obstacles;
mod quickstart;
mod recipe;
mod recovery;
mod refusals;
mod scheduling;
mod serving;
mod tokens;
mod traces;
