//! The operator: pure stages of each kind, and the history store.
#![forbid(unsafe_code)]
