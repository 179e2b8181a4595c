//! The trainer as it is run: real processes, real files, small models.

mod bad_input;
mod fixture;
mod handover;
mod killed;
mod learning;
mod ranks;
mod resume;
mod stopping;
