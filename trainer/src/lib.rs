//! The TrainingJob pod: data order, objectives, parallelism, step loop.
#![forbid(unsafe_code)]
