//! Tests of the serving core on small random models.

mod model;
