//! The engine through its public interface.

mod decoder;
mod models;
mod reference;
