//! Compiles kubelet's device plugin API and Bedplate's progress API; protox does it in Rust, so no protoc has to be installed.

use std::error::Error;

const KUBELET: &str = "kubelet/device_plugin.proto";
const PROGRESS: &str = "bedplate/progress/v1alpha1/progress.proto";
const FOLDERS: [&str; 2] = ["proto", "../operator/proto"];

fn main() -> Result<(), Box<dyn Error>> {
    FOLDERS.iter().for_each(|folder| println!("cargo:rerun-if-changed={folder}"));
    let descriptors = protox::compile([KUBELET, PROGRESS], FOLDERS)?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
