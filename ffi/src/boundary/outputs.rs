//! Where results go: written when all has gone well, and never beyond what the caller has.

use std::mem::{offset_of, size_of};
use std::ptr;

use runtime::Verdict;

use super::sized::struct_size;
use crate::failure::Failure;
use crate::session::SessionHandle;
use crate::structs::{CVerdict, whole_fields};

/// Where the results of a check go, found fit to take them before it starts.
pub(super) struct Outputs {
    scores: *mut f32,
    verdict: *mut CVerdict,
    verdict_size: usize,
}

impl Outputs {
    /// # Safety
    /// `verdict` is NULL or has the size that it says.
    pub(super) unsafe fn new(
        session: &SessionHandle,
        scores: *mut f32,
        score_count: usize,
        verdict: *mut CVerdict,
    ) -> Result<Self, Failure> {
        let categories = session.categories().len();
        if scores.is_null() && score_count != 0 {
            return Err(Failure::argument(format!(
                "scores is NULL, but score_count is {score_count}; expected room for {categories} scores, or NULL and 0"
            )));
        }
        if !scores.is_null() && score_count != categories {
            return Err(Failure::argument(format!(
                "score_count is {score_count}; expected {categories}, the model's category count"
            )));
        }
        if scores.is_null() && verdict.is_null() {
            return Err(Failure::argument(
                "both scores and verdict are NULL; expected a place for the result",
            ));
        }
        let verdict_size = match verdict.is_null() {
            true => 0,
            // SAFETY: the caller's promise.
            false => unsafe { struct_size(verdict.cast(), "verdict", CVerdict::ENDS[0])? },
        };
        Ok(Self {
            scores,
            verdict,
            verdict_size,
        })
    }

    /// # Safety
    /// `scores` is NULL or has room for a score per category; `verdict` is NULL or has the size
    /// that it says.
    pub(super) unsafe fn write(&self, found: &Verdict) -> Result<(), Failure> {
        // Made before anything is written: this can still fail.
        let verdict = CVerdict::new(found)?;
        if !self.scores.is_null() {
            let bytes = size_of_val(found.scores.as_slice());
            // SAFETY: there is room, and as bytes they need no alignment.
            unsafe {
                ptr::copy_nonoverlapping(
                    found.scores.as_ptr().cast(),
                    self.scores.cast::<u8>(),
                    bytes,
                );
            }
        }
        if !self.verdict.is_null() {
            // `struct_size` stays what the caller set.
            let start = offset_of!(CVerdict, flagged);
            let end = whole_fields(&CVerdict::ENDS, self.verdict_size);
            let from = (&raw const verdict).cast::<u8>();
            let to = self.verdict.cast::<u8>();
            let unknown = self.verdict_size.saturating_sub(size_of::<CVerdict>());
            // SAFETY: `end` lies within both structs, and `unknown` bytes within the caller's.
            unsafe {
                ptr::copy_nonoverlapping(from.add(start), to.add(start), end - start);
                to.add(self.verdict_size - unknown).write_bytes(0, unknown);
            }
        }
        Ok(())
    }
}
