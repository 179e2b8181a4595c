//! Gathers the training text of the quickstart: the sources of the dependencies that Cargo.lock pins.
//!
//! Owns which files count. The same Cargo.lock gives the same bytes on every machine. Never downloads anything itself:
//! cargo has every package in its cache once it has resolved the lock file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// Marks a folder as made by this command, so that it may be replaced, and holds the list of what is in it.
const STAMP: &str = ".bedplate-corpus";

/// Raised when the choice of files changes, so that older folders are made again.
const VERSION: u32 = 1;

/// What `cargo xtask corpus` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder that receives `<name>-<version>/...`; made, or replaced where this command made it.
    destination: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

/// Copies every `.rs` and `.md` file of every registry package to the destination.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let destination = &arguments.destination;
    let packages = packages()?;
    let stamp = packages.keys().fold(format!("{VERSION}\n"), |text, name| text + name + "\n");
    match fs::read_to_string(destination.join(STAMP)) {
        Ok(found) if found == stamp => {
            println!("{} is up to date ({} packages)", destination.display(), packages.len());
            return Ok(());
        }
        Ok(_) => fs::remove_dir_all(destination).with_context(|| format!("cannot remove {}", destination.display()))?,
        Err(_) if destination.exists() => {
            bail!("{} exists and was not made by this command: name another folder", destination.display())
        }
        Err(_) => {}
    }
    // Whole or not at all: the copy becomes the destination by a rename.
    let partial = destination.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let mut total = Total::default();
    for (name, folder) in &packages {
        copy_folder(folder, &partial.join(name), &mut total)
            .with_context(|| format!("cannot copy the sources of {name}"))?;
    }
    fs::write(partial.join(STAMP), stamp).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, destination).with_context(|| format!("cannot make {}", destination.display()))?;
    println!("{}: {} files, {} bytes of {} packages", destination.display(), total.files, total.bytes, packages.len());
    Ok(())
}

/// Folders of the registry's packages by `name-version`.
fn packages() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo metadata's output")?;
    let registry = metadata.packages.into_iter().filter(|package| {
        package.source.as_deref().is_some_and(|source| source.starts_with("registry+") || source.starts_with("sparse+"))
    });
    registry
        .map(|package| {
            let folder = package.manifest_path.parent().context("a package without a folder")?;
            Ok((format!("{}-{}", package.name, package.version), folder.to_owned()))
        })
        .collect()
}

#[derive(Default)]
struct Total {
    files: u64,
    bytes: u64,
}

/// Copies the sources below `from`. Links are left out: they could lead out of the package.
fn copy_folder(from: &Path, to: &Path, total: &mut Total) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&source, &target, total)?;
        } else if kind.is_file() && is_source(&source) {
            fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
            total.bytes += fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
            total.files += 1;
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs" || extension == "md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_are_copied_and_links_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("src/empty")).unwrap();
        for (name, text) in
            [("README.md", "# a"), ("src/lib.rs", "fn a() {}"), ("src/data.bin", "x"), ("Cargo.toml", "")]
        {
            fs::write(from.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", from.join("src/link.rs")).unwrap();
        let mut total = Total::default();
        copy_folder(&from, &to, &mut total).unwrap();
        assert_eq!((total.files, total.bytes), (2, 12));
        assert!(to.join("README.md").exists() && to.join("src/lib.rs").exists());
        assert!(!to.join("src/link.rs").exists() && !to.join("src/empty").exists());
    }

    #[test]
    fn a_folder_of_somebody_else_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&Arguments { destination: folder.path().to_owned() }).unwrap_err();
        assert!(error.to_string().contains("was not made by this command"), "{error}");
    }
}
