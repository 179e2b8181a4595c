//! `cargo xtask image`: one OCI image per binary, FROM scratch, without Docker.
//!
//! Owns which binaries there are and what is in an image beside them. The same source and the same choice of
//! binaries give the same bytes. Never pushes.
//!
//! The binaries are static through Rust's musl target; the few C parts (ring, zstd) need `musl-gcc` of the package
//! musl-tools. What is packed is what was tested: the binaries of the workspace's one build (`workspace::BUILD`).

mod binary;
mod layout;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

use crate::workspace::{self, Package};
use layout::{Entry, Image};

/// Where rustls looks for certificates on Linux.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// What `cargo xtask image` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder that receives `<binary>.tar`. Default: `images/` in cargo's target folder.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Binaries to make images of. Default: all.
    #[arg(long = "binary")]
    binaries: Vec<String>,
}

/// Builds the binaries and writes their images, then prints their sizes.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = workspace::root();
    let target = workspace::target_dir(&root)?;
    let output = arguments.output.clone().unwrap_or_else(|| target.join("images"));
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let mut rows = Vec::new();
    let binaries = binaries(&workspace::members(&root)?, &arguments.binaries)?;
    build(&root, &binaries)?;
    for binary in binaries {
        let path = target.join(workspace::TARGET).join("release").join(&binary);
        binary::check(&path)?;
        let image = image(&binary, &path)?;
        let tar = output.join(format!("{binary}.tar"));
        let written = image.write(&tar)?;
        rows.push((binary, fs::metadata(&path)?.len(), written, tar));
    }
    println!("| image | binary | tar | digest |\n|---|---|---|---|");
    for (binary, bytes, written, tar) in rows {
        let (binary_mib, tar_mib) = (mib(bytes), mib(written.bytes));
        println!("| {binary} | {binary_mib} | {tar_mib} | {} |", written.digest);
        println!("  {}", tar.display());
    }
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Name of each binary that is deployed, restricted to those asked for.
fn binaries(members: &[Package], wanted: &[String]) -> anyhow::Result<Vec<String>> {
    let is_deployed = |name: &str| name.starts_with("bedplate") && name != "bedplate-e2e";
    let deployed = members.iter().filter(|member| is_deployed(&member.name));
    let is_binary = |kind: &[String]| kind.iter().any(|kind| kind == "bin");
    let all: Vec<String> = deployed
        .flat_map(|member| member.targets.iter().filter(|target| is_binary(&target.kind)))
        .map(|target| target.name.clone())
        .collect();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("--binary {unknown}: there is no such binary; known: {}", all.join(", "));
    }
    Ok(all.into_iter().filter(|binary| wanted.is_empty() || wanted.contains(binary)).collect())
}

fn build(root: &Path, binaries: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command.arg("build").args(workspace::BUILD).current_dir(root);
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    workspace::without_own_package(&mut command);
    let status = command.status().context("cannot start cargo; is it installed?")?;
    ensure!(
        status.success(),
        "cannot build the binaries; a missing musl-gcc is in the package musl-tools, a missing target comes with `rustup target add {}`",
        workspace::TARGET
    );
    Ok(())
}

/// The image of one binary: the binary, certificates, one user that is not root, and an empty /tmp.
fn image(binary: &str, path: &Path) -> anyhow::Result<Image> {
    let program = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let entries = vec![
        Entry::file("bin", binary, program, 0o755),
        Entry::file("etc", "passwd", b"bedplate:x:65532:65532::/:/sbin/nologin\n".to_vec(), 0o644),
        Entry::file("etc", "group", b"bedplate:x:65532:\n".to_vec(), 0o644),
        Entry { path: CERTIFICATES.to_owned(), content: Some(certificates().into_bytes()), mode: 0o644 },
        Entry { path: "tmp".to_owned(), content: None, mode: 0o1777 },
    ];
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Image { name: binary.to_owned(), version, entrypoint: format!("/bin/{binary}"), entries })
}

/// Mozilla's root certificates as the pinned crate has them, so that two machines make the same image.
fn certificates() -> String {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| binary::pem(der)).collect()
}
