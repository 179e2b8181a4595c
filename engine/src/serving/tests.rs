//! Tests of the serving core on small random models.

mod equality;
mod fixtures;
mod loading;
mod reference;
