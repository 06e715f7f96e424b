//! The memory of packed weights: one piece for all matrices of a network, of large pages where the
//! system has them. Many small pieces are as many faults as they have pages.

use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::kernels::Line;
use crate::bundle::{MmapMut, memory};
use crate::error::{Error, ErrorKind, Result};

/// Memory of which matrices take stretches, one after the other.
pub(super) struct Store {
    piece: Arc<Piece>,
    /// How many lines were taken.
    taken: usize,
}

/// Memory for some lines.
#[derive(Debug)]
struct Piece {
    start: NonNull<Line>,
    count: usize,
    /// What `start` points to; it is freed with the piece, and not touched otherwise.
    _map: MmapMut,
}

// SAFETY: lines are written by `Store::take` alone, before anything else refers to them, and are
// only read from then on.
unsafe impl Send for Piece {}
// SAFETY: as for `Send`.
unsafe impl Sync for Piece {}

/// Lines of a matrix. They are not changed any more.
#[derive(Debug)]
pub(super) struct Lines {
    piece: Arc<Piece>,
    range: Range<usize>,
}

impl Store {
    /// Memory for `count` lines.
    pub(super) fn with_room_for(count: usize) -> Result<Self> {
        let bytes = count.checked_mul(size_of::<Line>()).ok_or_else(|| {
            let what = format!("{count} lines of weights, more than this machine can address");
            Error::new(ErrorKind::OutOfMemory, what)
        })?;
        Ok(Self::within(memory(bytes)?, 0, count))
    }

    /// Memory for `count` lines in a piece of zeros, from a byte on that is a multiple of theirs.
    pub(super) fn within(mut map: MmapMut, start: usize, count: usize) -> Self {
        let start = NonNull::from(&mut map[start..][..count * size_of::<Line>()]).cast::<Line>();
        assert!(start.is_aligned(), "memory starts on a page");
        let piece = Piece {
            start,
            count,
            _map: map,
        };
        Self {
            piece: Arc::new(piece),
            taken: 0,
        }
    }

    /// The next `count` lines, once `fill` has written them; they are zero before. There must be
    /// room for them.
    pub(super) fn take(&mut self, count: usize, fill: impl FnOnce(&mut [Line])) -> Lines {
        assert!(count <= self.piece.count - self.taken, "there is room");
        let range = self.taken..self.taken + count;
        self.taken = range.end;
        // SAFETY: the piece has as many lines, zeroed, of which any bytes are some; nobody else
        // refers to these, since every line is taken once.
        fill(unsafe {
            slice::from_raw_parts_mut(self.piece.start.add(range.start).as_ptr(), count)
        });
        Lines {
            piece: Arc::clone(&self.piece),
            range,
        }
    }

    /// Whether every line was taken.
    pub(super) fn is_full(&self) -> bool {
        self.taken == self.piece.count
    }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    fn deref(&self) -> &[Line] {
        // SAFETY: `Store::take` has made sure that the piece has these lines, which live as long as
        // the piece does, and which nobody writes any more.
        unsafe {
            let start = self.piece.start.add(self.range.start);
            slice::from_raw_parts(start.as_ptr(), self.range.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_stand_one_behind_the_other_and_outlive_the_store() {
        let mut store = Store::with_room_for(7).unwrap();
        let stretches = [3, 0, 4].map(|count| {
            store.take(count, |lines| {
                assert!(lines.iter().all(|line| line.0 == [0; 64]));
                lines.iter_mut().for_each(|line| line.0 = [count as i8; 64]);
            })
        });
        assert!(store.is_full());
        drop(store);
        let [three, none, four] = &stretches;
        assert!(three.len() == 3 && none.is_empty() && four.len() == 4);
        assert_eq!(three.as_ptr_range().end, four.as_ptr());
        assert!(three.iter().all(|line| line.0 == [3; 64]));
        assert!(four.iter().all(|line| line.0 == [4; 64]));
    }

    #[test]
    #[should_panic(expected = "there is room")]
    fn no_more_is_taken_than_there_is() {
        let mut store = Store::with_room_for(2).unwrap();
        store.take(3, |_| ());
    }

    #[test]
    fn memory_that_no_machine_has_is_refused() {
        for count in [usize::MAX, usize::MAX / 128] {
            let refused = Store::with_room_for(count).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
        }
    }
}
