//! The command line as a person uses it: the real binary, real sockets.

mod chat;
mod surface;
