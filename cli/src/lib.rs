//! The command line: runs manifests without a cluster, chats, reports.
//!
//! Owns what a person sees and the processes they start. Never trains, serves or cleans text itself: the binaries do.
#![forbid(unsafe_code)]

pub mod args;
pub mod chat;
