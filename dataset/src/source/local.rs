//! Files below a local folder.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use walkdir::WalkDir;

use super::{Found, Place, Roots, SourceError, local_path};

/// A file that changed this recently may change again within the clock's grain without its times telling.
const RACY: Duration = Duration::from_secs(2);

/// The file at `path`, or every file below it. Links inside a folder are not followed: they could lead out of it.
pub(super) fn list(field: &str, path: &str, roots: &Roots) -> Result<Vec<Found>, SourceError> {
    let root = local_path(path, &roots.input_root);
    let list_error = |source| SourceError::List { field: field.to_owned(), source };
    let metadata = match root.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SourceError::FindLocal { field: field.to_owned(), path: root, root: roots.input_root.clone() });
        }
        Err(error) => return Err(list_error(error)),
    };
    if metadata.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![Found { is_named: true, ..found(name, &root, &metadata) }]);
    }
    let root = root.canonicalize().map_err(list_error)?;
    let own_output = roots.output_dir.canonicalize().unwrap_or_else(|_| roots.output_dir.clone());
    let mut files = Vec::new();
    let mut links = 0_u64;
    for entry in WalkDir::new(&root).into_iter().filter_entry(|entry| entry.path() != own_output) {
        let entry = entry.map_err(|error| list_error(error.into()))?;
        links += u64::from(entry.path_is_symlink());
        if entry.file_type().is_file() {
            let metadata = entry.metadata().map_err(|error| list_error(error.into()))?;
            files.push(found(relative(&root, entry.path()), entry.path(), &metadata));
        }
    }
    if links > 0 {
        tracing::warn!(links, folder = %root.display(), "symbolic links inside a source are not followed");
    }
    Ok(files)
}

fn found(path: String, place: &Path, metadata: &Metadata) -> Found {
    let place = place.to_owned();
    Found { path, size: Some(metadata.len()), stamp: stamp(metadata), is_named: false, place: Place::Local(place) }
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn stamp(metadata: &Metadata) -> Option<String> {
    let changed = u64::try_from(metadata.ctime()).ok()?;
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(changed)).ok()?;
    let [mtime, mtime_nsec, ctime_nsec] = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec()];
    let (device, inode) = (metadata.dev(), metadata.ino());
    (age >= RACY).then(|| format!("{device}:{inode}:{mtime}.{mtime_nsec}:{changed}.{ctime_nsec}"))
}
