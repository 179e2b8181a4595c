//! Read-only memory maps of model files. The one place of the engine outside `cpu/` that needs `unsafe`.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// Maps `path` read-only. The bytes are valid while the map lives and nobody truncates the file.
#[allow(unsafe_code)]
pub(crate) fn map_file(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // SAFETY: the map is read-only and model files are replaced by rename, never rewritten in place, so the mapped
    // inode keeps its length and bytes for as long as the map lives.
    unsafe { Mmap::map(&file) }
}
