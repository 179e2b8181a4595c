//! Compiles the gRPC service; protox does it in Rust, so no protoc has to be installed.

use std::error::Error;

const PROTO: &str = "bedplate/inference/v1/inference.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure().build_client(true).compile_fds(descriptors)?;
    Ok(())
}
