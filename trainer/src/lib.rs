//! The TrainingJob pod: data order, objectives, parallelism, step loop.
//!
//! Reads one job file and the Datasets it names; leaves checkpoints, a model folder and progress events. Knows no
//! kernels (those are the engine's) and no cluster.
#![forbid(unsafe_code)]

pub mod accumulate;
pub mod attempt;
pub mod checkpoints;
pub mod course;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod job;
pub mod memory;
pub mod model;
pub mod plan;
pub mod recipe;
pub mod rendezvous;
pub mod report;
pub mod running_time;
pub mod sample;
pub mod stop;
pub mod train;
