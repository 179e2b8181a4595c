//! The project's own tooling: `cargo xtask --help`.
//!
//! Owns nothing but the list of subcommands; each one lives in its own module.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod codegen;
mod corpus;
mod image;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};

/// Bedplate's own tooling.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures against the peers, interleaved; prints a Markdown table.
    Bench(bench::Arguments),
    /// Runs everything that `make test` proves, and prints a table.
    Ci,
    /// Writes the CRDs, plain and for the chart, and the references in docs/ from the types in crds/.
    Codegen(codegen::Arguments),
    /// Copies the Rust and Markdown sources of the dependencies that Cargo.lock pins: the quickstart's training text.
    Corpus(corpus::Arguments),
    /// Builds static binaries and puts each into an OCI image.
    Image(image::Arguments),
    /// Checks the project's invariants.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Ci => ci::run(),
        Command::Codegen(arguments) => codegen::run(&arguments),
        Command::Corpus(arguments) => corpus::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Tidy => tidy::run(),
    }
}
