//! Compiles the client of the progress API from the operator's own description of it, so that both sides speak the same.

use std::error::Error;

const FOLDER: &str = "../operator/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FOLDER}");
    let descriptors = protox::compile(["bedplate/progress/v1alpha1/progress.proto"], [FOLDER])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
