//! The memory of a model's packed weights: one anonymous mapping, filled once and then read-only.
//!
//! Owns the allocation and its huge pages (reading weights through 4 KiB pages costs up to half of the bandwidth). Never
//! knows a format.

use std::sync::{Arc, OnceLock};

use memmap2::{Mmap, MmapMut};

/// Matrices start at multiples of a cache line.
const ALIGNMENT: usize = 64;

/// Memory in which matrices are packed one after another.
#[derive(Debug)]
pub struct WeightArena {
    map: MmapMut,
    used: usize,
    finished: Arc<OnceLock<Mmap>>,
}

/// A piece of an arena.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    arena: Arc<OnceLock<Mmap>>,
    start: usize,
    len: usize,
}

impl WeightArena {
    /// Reserves room for matrices of these sizes in bytes; memory is taken as they are packed.
    pub fn for_sizes(sizes: impl Iterator<Item = usize>) -> std::io::Result<Self> {
        let capacity: usize = sizes.map(|size| size.next_multiple_of(ALIGNMENT)).sum();
        let map = MmapMut::map_anon(capacity.max(ALIGNMENT))?;
        #[cfg(target_os = "linux")]
        // A kernel without huge pages refuses the advice, and small pages work too.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map, used: 0, finished: Arc::default() })
    }

    /// The next `len` bytes, zeros, to be filled now and read after `finish`.
    pub(super) fn take(&mut self, len: usize) -> (Piece, &mut [u8]) {
        let start = self.used;
        self.used += len.next_multiple_of(ALIGNMENT);
        (Piece { arena: self.finished.clone(), start, len }, &mut self.map[start..start + len])
    }

    /// Makes the memory read-only and its matrices usable.
    pub fn finish(self) -> std::io::Result<()> {
        self.finished.set(self.map.make_read_only()?).expect("an arena is finished once, by value");
        Ok(())
    }
}

impl Piece {
    pub(super) fn bytes(&self) -> &[u8] {
        let map = self.arena.get().expect("a matrix is used after its arena is finished");
        &map[self.start..self.start + self.len]
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}
