//! Compiles the progress API; protox does it in Rust, so no protoc has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "controller")]
    {
        println!("cargo:rerun-if-changed=proto");
        let descriptors = protox::compile(["bedplate/progress/v1alpha1/progress.proto"], ["proto"])?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    Ok(())
}
