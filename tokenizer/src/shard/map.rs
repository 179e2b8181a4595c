//! The one place of this crate with `unsafe`: mapping a file into memory.

use std::{fs::File, io, path::Path};

use memmap2::Mmap;

/// Maps a file read-only.
#[allow(unsafe_code)]
pub(super) fn open(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: shards are written under another name, renamed when whole and never changed in place, so nobody alters
    // the bytes while they are mapped.
    unsafe { Mmap::map(&file) }
}
