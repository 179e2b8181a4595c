//! The command line: runs manifests without a cluster, chats, reports.
//!
//! Owns what a person sees and the processes they start. Never trains, serves or cleans text itself: the binaries do.
#![forbid(unsafe_code)]

pub mod args;
pub mod binaries;
pub mod chat;
pub mod figures;
pub mod history;
pub mod manifests;
pub mod outcome;
pub mod plan;
pub mod preflight;
pub mod process;
pub mod progress;
pub mod refusal;
pub mod report;
pub mod run;
pub mod state;
pub mod status;
pub mod table;
pub mod validate;
pub mod version;
pub mod view;
