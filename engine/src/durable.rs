//! Files that survive a crash: every write here is on the disk when it returns, and a folder appears whole or not at all.
//!
//! Owns fsync and rename. Knows nothing of what the files hold.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Flushes a folder's entries, so that a rename inside it outlives a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a file and flushes it.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates an empty folder at `path`, removing what an interrupted attempt left there.
pub fn fresh_dir(path: &Path) -> io::Result<()> {
    remove_dir_if_there(path)?;
    fs::create_dir_all(path)
}

/// Removes a folder with all it holds; a missing one is fine.
pub fn remove_dir_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a folder is built before [`publish_dir`] gives it its name: a hidden sibling, so that the rename stays on one
/// file system.
pub fn staging_path(target: &Path) -> PathBuf {
    hidden_sibling(target, "staging")
}

/// Renames the finished folder `staging` to `target` and flushes both it and its parent.
///
/// An older `target` is moved aside first and removed last: a crash in between leaves the old or the new one whole
/// under a name of its own, never a mixture.
pub fn publish_dir(staging: &Path, target: &Path) -> io::Result<()> {
    sync_dir(staging)?;
    let old = hidden_sibling(target, "replaced");
    remove_dir_if_there(&old)?;
    if target.exists() {
        fs::rename(target, &old)?;
    }
    fs::rename(staging, target)?;
    sync_dir(parent_of(target))?;
    remove_dir_if_there(&old)
}

fn hidden_sibling(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    parent_of(target).join(format!(".{name}.{suffix}"))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_replaces_the_older_folder_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("model");
        for round in ["first", "second"] {
            let staging = staging_path(&target);
            fresh_dir(&staging).unwrap();
            write_file(&staging.join(round), round.as_bytes()).unwrap();
            publish_dir(&staging, &target).unwrap();
        }
        assert!(!target.join("first").exists());
        assert_eq!(fs::read(target.join("second")).unwrap(), b"second");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside the folder");
    }
}
