//! Measurements against the peers: `cargo xtask bench …`.
//!
//! Owns the interleaving and the table. Both sides of a pair run in turn as whole processes on the same cores, so that
//! what else the machine does meets both; what counts is the median of the per-round ratios. Never a test: a shared
//! machine's clock proves nothing by itself.

mod figures;
mod pair;
mod peers;

use anyhow::Context;
use clap::{Args, Subcommand};
use pair::Pair;

/// What `cargo xtask bench` takes.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Times each side runs; the first round warms caches and counts like the others.
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, global = true)]
    threads: usize,
}

#[derive(Clone, Copy, Subcommand)]
enum Bench {
    /// One training step of the quickstart's model (forward, backward, clipping, AdamW) against PyTorch, both f32 on the CPU.
    TrainCpu {
        /// Optimiser steps of one run, after three that are not counted.
        #[arg(long, default_value_t = 12)]
        steps: usize,
    },
    /// Prefill and decode of SmolLM2-135M-Instruct (Q4_1) against llama.cpp on the same file.
    ServeCpu,
}

/// Runs one pair and prints its table as Markdown.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pair = match arguments.bench {
        Bench::TrainCpu { steps } => train_cpu(steps, arguments.threads)?,
        Bench::ServeCpu => serve_cpu(arguments.threads)?,
    };
    let rounds = pair.run(arguments.rounds.max(1))?;
    println!("{}", figures::table(&pair, &rounds, &peers::machine()?));
    Ok(())
}

fn train_cpu(steps: usize, threads: usize) -> anyhow::Result<Pair> {
    let python = peers::venv("torch", &["torch", "transformers", "safetensors", "numpy"])?;
    let (steps, threads) = (steps.to_string(), threads.to_string());
    let settings = ["--steps", &steps, "--threads", &threads];
    let ours = peers::engine_bench("train_step")?;
    Ok(Pair {
        name: "train-cpu: one training step, f32, tokens per second",
        ours: pair::command("Bedplate", &ours, &settings),
        peer: pair::command("PyTorch", &python, &[&["xtask/peers/train_cpu.py"], &settings[..]].concat()),
    })
}

fn serve_cpu(threads: usize) -> anyhow::Result<Pair> {
    let python = peers::venv("llama", &["llama-cpp-python==0.3.36"])?;
    let model = peers::script("scripts/fetch-smollm2.sh", &[]).context("the model file")?;
    let threads = threads.to_string();
    let settings = ["--model", &model, "--threads", &threads];
    let ours = peers::engine_bench("serve")?;
    Ok(Pair {
        name: "serve-cpu: SmolLM2-135M-Instruct Q4_1, tokens per second",
        ours: pair::command("Bedplate", &ours, &settings),
        peer: pair::command("llama.cpp", &python, &[&["xtask/peers/serve_cpu.py"], &settings[..]].concat()),
    })
}
