//! Removes what a job made: its output folder, and nothing else.
//!
//! Owns the check that the folder is where the operator puts such folders. Never follows a link.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use bedplate_crds::job::JobMetadata;

/// Why an output folder is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// It is not where output folders lie, so that it may hold something else.
    #[error(
        "outputDir {path} does not end with {expected}; only folders that the operator laid out are removed, so remove this one by hand",
        path = path.display(), expected = expected.display()
    )]
    Place {
        /// The folder.
        path: PathBuf,
        /// How it should end.
        expected: PathBuf,
    },
    /// The way to it leads out of the volume.
    #[error("{path} is a link, and a link may lead out of the volume; remove it by hand", path = path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// It cannot be removed.
    #[error("could not remove {path}; check the permissions of the volume", path = path.display())]
    Remove {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Removes `output_dir`, which must be `<volume>/<folder>/<namespace>/<name>`. One that is gone already is as good.
///
/// # Errors
/// When it lies elsewhere, is reached over a link, or cannot be removed.
pub fn remove(output_dir: &Path, folder: &str, metadata: &JobMetadata) -> Result<(), RemovalError> {
    let expected: PathBuf = [folder, &metadata.namespace, &metadata.name].iter().collect();
    let is_plain = output_dir.is_absolute()
        && output_dir.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && expected.components().count() == 3
        && expected.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || !output_dir.ends_with(&expected) || output_dir.components().count() < 5 {
        return Err(RemovalError::Place { path: output_dir.to_owned(), expected });
    }
    for path in output_dir.ancestors().take(3) {
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err(RemovalError::Link { path: path.to_owned() });
        }
    }
    match fs::remove_dir_all(output_dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RemovalError::Remove { path: output_dir.to_owned(), source })
        }
        _ => {
            tracing::info!(path = %output_dir.display(), "removed");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn metadata(name: &str) -> JobMetadata {
        JobMetadata { name: name.to_owned(), namespace: "team".to_owned(), traceparent: None }
    }

    struct Volume(tempfile::TempDir);

    impl Volume {
        /// A volume with two Datasets, `mine` and `other`.
        fn new() -> Self {
            let volume = Self(tempfile::tempdir().unwrap());
            for name in ["mine", "other"] {
                fs::create_dir_all(volume.dir(name).join("shards")).unwrap();
                fs::write(volume.dir(name).join("shards/0"), "tokens").unwrap();
            }
            volume
        }

        fn dir(&self, name: &str) -> PathBuf {
            self.0.path().join("default/datasets/team").join(name)
        }

        fn remove(&self, path: &Path, name: &str) -> Result<(), RemovalError> {
            remove(path, "datasets", &metadata(name))
        }
    }

    #[test]
    fn the_folder_goes_and_nothing_beside_it_and_a_second_time_is_as_good() {
        let volume = Volume::new();
        volume.remove(&volume.dir("mine"), "mine").unwrap();
        assert!(!volume.dir("mine").exists() && volume.dir("other").join("shards/0").exists());
        volume.remove(&volume.dir("mine"), "mine").unwrap();
    }

    #[test]
    fn folders_of_others_and_ways_out_of_the_volume_are_refused() {
        let volume = Volume::new();
        let refused = |path: &Path, name: &str| {
            assert!(matches!(volume.remove(path, name), Err(RemovalError::Place { .. })), "{}", path.display());
        };
        refused(&volume.dir("other"), "mine");
        refused(volume.0.path(), "mine");
        refused(&volume.dir("mine").join("../mine"), "mine");
        refused(Path::new("default/datasets/team/mine"), "mine");
        refused(Path::new("/datasets/team/mine"), "mine");
        refused(&volume.dir(".."), "..");
        refused(&volume.dir(""), "");
        assert!(volume.dir("mine").join("shards/0").exists());
    }

    #[test]
    fn a_link_is_refused_and_what_it_leads_to_stays() {
        let volume = Volume::new();
        symlink(volume.dir("other"), volume.dir("linked")).unwrap();
        assert!(matches!(volume.remove(&volume.dir("linked"), "linked"), Err(RemovalError::Link { .. })));
        symlink(volume.dir("other"), volume.dir("mine").join("inside")).unwrap();
        volume.remove(&volume.dir("mine"), "mine").unwrap();
        assert!(volume.dir("other").join("shards/0").exists());
    }
}
