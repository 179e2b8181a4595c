//! The command line as a person uses it: the real binary, real sockets, real processes.

mod chat;
mod end_to_end;
mod history;
mod refusals;
mod report;
mod run;
mod scratch;
mod stop;
mod surface;
