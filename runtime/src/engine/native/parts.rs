//! What threads share out among them: stretches of a batch's rows.

use std::sync::{Mutex, PoisonError};

use super::arena::Scratch;
use super::team::Team;

/// Tokens whose queries, keys and values one thread makes: those of whole tiles.
pub(super) struct Projection<'a> {
    /// The first tile, among those of all sequences.
    pub(super) tile: usize,
    /// The first row.
    pub(super) first: usize,
    pub(super) residual: &'a [f32],
    pub(super) queries: &'a mut [f32],
    pub(super) keys: &'a mut [f32],
    pub(super) values: &'a mut [f32],
    pub(super) scratch: &'a mut Scratch,
}

/// Rows that one thread takes through the rest of a layer.
pub(super) struct Rest<'a> {
    /// The first row; or sequence, if each has its judged token here alone.
    pub(super) first: usize,
    pub(super) is_judged: bool,
    pub(super) residual: &'a mut [f32],
    pub(super) queries: &'a [f32],
    /// Of all sequences, as `values`.
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) scratch: &'a mut Scratch,
}

/// Takes the beginning off a slice.
pub(super) fn take<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    rest.split_off_mut(..length)
        .expect("parts are no longer than the whole")
}

/// Does all parts, on the threads that are there.
pub(super) fn in_parallel<P: Send>(
    team: &Team,
    parts: impl Iterator<Item = P>,
    work: impl Fn(P) + Sync,
) {
    if team.threads() == 1 {
        return parts.for_each(work);
    }
    let parts: Vec<_> = parts.map(|part| Mutex::new(Some(part))).collect();
    team.run(parts.len(), &|number| {
        let part = parts[number].lock();
        let part = part.unwrap_or_else(PoisonError::into_inner).take();
        part.into_iter().for_each(&work);
    });
}
