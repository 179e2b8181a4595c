//! Compiles kubelet's device plugin API; protox does it in Rust, so no protoc has to be installed.

use std::error::Error;

const PROTO: &str = "kubelet/device_plugin.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
