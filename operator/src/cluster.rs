//! The pure half of the operator on a cluster: what children a resource has, and what its status says.
//!
//! Owns the way from a resource and what was seen of it to a [`decision::Decision`]: objects to apply and delete, the
//! status, the notes for people, and when to look again. Values in, values out: no client, no clock; the time and everything
//! that was seen are handed in as [`observed::Observed`].

mod acceptance;
pub mod child;
pub mod children;
mod conditions;
pub mod dataset;
pub mod decision;
mod departure;
mod failure;
mod failure_policy;
pub(crate) mod gate;
pub mod job_key;
mod job_view;
pub mod model_deployment;
pub mod names;
mod objects;
pub mod observed;
pub mod owner;
mod place;
mod pod;
pub(crate) mod pods;
mod references;
mod removal;
mod resources;
mod run;
pub mod settings;
mod summary;
pub mod training_job;
mod users;

#[cfg(test)]
mod tests;
