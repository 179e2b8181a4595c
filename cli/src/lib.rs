//! The command line: runs manifests without a cluster, chats, reports.
#![forbid(unsafe_code)]
