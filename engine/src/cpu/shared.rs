//! A slice that several tasks write at once, each at its own places.

use std::marker::PhantomData;

/// Hands out disjoint parts of one mutable slice to parallel tasks whose parts are strided, which `split_at_mut` cannot.
pub(super) struct SharedSlice<'a> {
    start: *mut f32,
    len: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which is Send; the caller of `part` promises that no two tasks get the same place.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above; all access goes through `part`.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// While the result lives no other part that overlaps it may be taken.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start + len <= self.len, "a part lies inside the slice");
        // SAFETY: inside the slice by the assertion, unaliased by the caller's promise, valid for 'a which outlives self.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
