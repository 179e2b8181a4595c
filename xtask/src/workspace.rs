//! Where the checkout is, and what `cargo` and `git` say about it.
//!
//! Owns the calls to both. Never changes anything.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde::Deserialize;

/// What images run on, and what everything is compiled for: a static program needs nothing of the machine it runs on.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// How everything is compiled: one target, one profile and one set of features (those of the whole workspace) for tests,
/// images, benches and clippy, so that no crate is compiled twice. `--bin NAME` and the like choose among them.
pub const BUILD: [&str; 6] = ["--release", "--target", TARGET, "--workspace", "--features", "bedplate-e2e/cluster"];

/// Folder of the root Cargo.toml.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask/ lies in the root of the checkout").to_path_buf()
}

/// Where cargo puts what it makes.
pub fn target_dir(root: &Path) -> anyhow::Result<PathBuf> {
    let json = output(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: serde_json::Value = serde_json::from_str(&json)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names the target folder")?.into())
}

/// Takes what `cargo run` says of this package out of a command's environment: build scripts that watch it (ring's) would run
/// again in every other checkout, and all that is above them would be compiled again.
pub fn without_own_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
}

/// One member of the workspace, as `cargo metadata` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Its Cargo.toml.
    pub manifest_path: PathBuf,
    /// What it declares.
    pub dependencies: Vec<Dependency>,
    /// Its libraries, binaries and tests.
    pub targets: Vec<Target>,
}

/// One declared dependency.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// Name of the package depended on.
    pub name: String,
    /// `dev`, `build`, or none for an ordinary one.
    pub kind: Option<String>,
}

/// One thing cargo compiles.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Such as `lib`, `bin`, `test`.
    pub kind: Vec<String>,
    /// The file it starts from.
    pub src_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The members of the workspace.
pub fn members(root: &Path) -> anyhow::Result<Vec<Package>> {
    let json = output(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&json).context("cannot read what cargo metadata says")?;
    Ok(metadata.packages)
}

/// The packages that a member links when it is built alone: normal dependencies only, features as for it alone.
pub fn linked(root: &Path, package: &str) -> anyhow::Result<Vec<String>> {
    let arguments = ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let text = output(root, "cargo", &arguments)?;
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Files that git tracks or would track, relative to the root; those that are deleted in the work tree are left out.
pub fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = output(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"])?;
    Ok(listed.lines().map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// What a program prints, or its own words on why it failed.
pub fn output(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let ran = Command::new(program).args(arguments).current_dir(root).output();
    let ran = ran.with_context(|| format!("cannot start {program}; is it installed?"))?;
    if !ran.status.success() {
        bail!("{program} {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim());
    }
    String::from_utf8(ran.stdout).with_context(|| format!("{program} printed something that is no text"))
}
