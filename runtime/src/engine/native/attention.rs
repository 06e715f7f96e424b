//! Grouped-query attention, causal or not, with an online softmax: keys by the tile, no matrix of
//! scores.
//!
//! Keys lie in tiles of sixteen, `[tile][kv head][head size][16]`, so that a lane is a key; values
//! lie `[token][kv head][padded head size]`. A step takes [`STEP`] tiles. Where steps begin depends
//! on the keys' positions alone, so that a query's result does not depend on the queries beside it.

use super::kernels::{Isa, LANES};
use super::rounding::{exp_of_negative, maximum, sum};
use crate::network::{Dimensions, MAX_HEAD_SIZE};

/// Keys of a tile.
pub(super) const TILE_KEYS: usize = LANES;
/// Tiles of keys between two corrections of the softmax.
const STEP: usize = 4;
const STEP_KEYS: usize = STEP * TILE_KEYS;
/// Queries that share the keys in registers.
const QUERIES: usize = 4;
const MAX_VECTORS: usize = MAX_HEAD_SIZE / LANES;

/// The sizes of heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) size: usize,
}

impl Heads {
    pub(super) fn of(dimensions: &Dimensions) -> Self {
        Self {
            heads: dimensions.heads,
            kv_heads: dimensions.kv_heads,
            size: dimensions.head_size,
        }
    }

    /// Floats of a value in memory: whole vectors.
    pub(super) fn padded(self) -> usize {
        self.size.next_multiple_of(LANES)
    }

    /// Floats of a tile of keys.
    pub(super) fn tile(self) -> usize {
        self.kv_heads * self.size * TILE_KEYS
    }

    /// Floats of a token's values.
    pub(super) fn values(self) -> usize {
        self.kv_heads * self.padded()
    }
}

/// Queries of one sequence that follow each other.
pub(super) struct Attention<'a> {
    pub(super) heads: Heads,
    /// Rotated and scaled: rows of `stride` values.
    pub(super) queries: &'a [f32],
    pub(super) count: usize,
    pub(super) stride: usize,
    /// The position of the first one, if each sees the keys up to its own alone.
    pub(super) position: Option<usize>,
    /// Keys of the sequence.
    pub(super) length: usize,
    /// All keys of the sequence, in tiles.
    pub(super) keys: &'a [f32],
    /// All values of the sequence.
    pub(super) values: &'a [f32],
    /// As `queries`.
    pub(super) mixed: &'a mut [f32],
}

/// Mixes the values that each query sees.
#[inline(always)]
pub(super) fn attend<I: Isa>(isa: I, mut work: Attention<'_>) {
    let heads = work.heads;
    for head in 0..heads.heads {
        let mut first = 0;
        while first + QUERIES <= work.count {
            group::<I, QUERIES>(isa, &mut work, head, first);
            first += QUERIES;
        }
        for first in first..work.count {
            group::<I, 1>(isa, &mut work, head, first);
        }
    }
}

/// `Q` queries of a head.
#[inline(always)]
fn group<I: Isa, const Q: usize>(isa: I, work: &mut Attention<'_>, head: usize, first: usize) {
    let heads = work.heads;
    let size = heads.size;
    let kv_head = head / (heads.heads / heads.kv_heads);
    let query: [&[f32]; Q] =
        std::array::from_fn(|q| &work.queries[(first + q) * work.stride + head * size..][..size]);
    // Keys that a query sees.
    let reach = |q: usize| match work.position {
        Some(position) => position + first + q + 1,
        None => work.length,
    };
    let mut largest = [f32::MIN; Q];
    let mut totals = [isa.splat(0.0); Q];
    let mut mixed = [[[0.0_f32; LANES]; MAX_VECTORS]; Q];
    let vectors = heads.padded() / LANES;
    let seen = reach(Q - 1);
    let mut start = 0;
    while start < seen {
        let tiles = (seen - start).div_ceil(TILE_KEYS).min(STEP);
        let mut shares = [[[0.0_f32; LANES]; STEP]; Q];
        let keys = |tile: usize| -> &[[f32; LANES]] {
            let at = (start / TILE_KEYS + tile) * heads.tile() + kv_head * size * TILE_KEYS;
            work.keys[at..][..size * TILE_KEYS].as_chunks().0
        };
        match tiles {
            1 => scores::<I, Q, 1>(isa, query, std::array::from_fn(keys), &mut shares),
            2 => scores::<I, Q, 2>(isa, query, std::array::from_fn(keys), &mut shares),
            3 => scores::<I, Q, 3>(isa, query, std::array::from_fn(keys), &mut shares),
            _ => scores::<I, Q, STEP>(isa, query, std::array::from_fn(keys), &mut shares),
        }
        for q in 0..Q {
            // Keys of this step that the query sees; none for one before the step.
            let seen = reach(q).saturating_sub(start).min(STEP_KEYS);
            if seen == 0 {
                shares[q] = Default::default();
                continue;
            }
            soften(
                isa,
                seen,
                &mut shares[q],
                &mut largest[q],
                &mut totals[q],
                &mut mixed[q],
                vectors,
            );
        }
        mix::<I, Q>(isa, work, (start, kv_head, seen), &shares, &mut mixed);
        start += STEP_KEYS;
    }
    for q in 0..Q {
        let inverse = isa.splat(1.0 / sum(isa, totals[q]));
        let row = &mut work.mixed[(first + q) * work.stride + head * size..][..size];
        let (whole, rest) = row.as_chunks_mut();
        for (to, mixed) in whole.iter_mut().zip(&mixed[q]) {
            isa.store(isa.mul(isa.load(mixed), inverse), to);
        }
        if !rest.is_empty() {
            let mut lanes = [0.0; LANES];
            isa.store(
                isa.mul(isa.load(&mixed[q][vectors - 1]), inverse),
                &mut lanes,
            );
            rest.copy_from_slice(&lanes[..rest.len()]);
        }
    }
}

/// Products of `Q` queries with the keys of the first `T` tiles of a step.
#[inline(always)]
fn scores<I: Isa, const Q: usize, const T: usize>(
    isa: I,
    query: [&[f32]; Q],
    keys: [&[[f32; LANES]]; T],
    scores: &mut [[[f32; LANES]; STEP]; Q],
) {
    let size = query[0].len();
    let (query, keys) = (
        query.map(|query| &query[..size]),
        keys.map(|keys| &keys[..size]),
    );
    let mut sums = [[isa.splat(0.0); T]; Q];
    for d in 0..size {
        let keys: [I::F; T] = std::array::from_fn(|t| isa.load(&keys[t][d]));
        for q in 0..Q {
            let query = isa.splat(query[q][d]);
            for t in 0..T {
                sums[q][t] = isa.add(sums[q][t], isa.mul(keys[t], query));
            }
        }
    }
    for q in 0..Q {
        for t in 0..T {
            isa.store(sums[q][t], &mut scores[q][t]);
        }
    }
}

/// Turns the first `seen` scores of a query into shares, relative to the largest score so far, and
/// corrects what was mixed relative to an earlier one.
#[inline(always)]
fn soften<I: Isa>(
    isa: I,
    seen: usize,
    shares: &mut [[f32; LANES]; STEP],
    largest: &mut f32,
    total: &mut I::F,
    mixed: &mut [[f32; LANES]; MAX_VECTORS],
    vectors: usize,
) {
    let mut most = isa.splat(*largest);
    for (tile, scores) in shares.iter().enumerate() {
        let lanes = seen.saturating_sub(tile * TILE_KEYS);
        if lanes > 0 {
            most = isa.max(isa.first(lanes, isa.load(scores), most), most);
        }
    }
    let most = maximum(isa, most);
    // Before the first step nothing is mixed.
    if most > *largest && *largest > f32::MIN {
        let correction = exp_of_negative(isa, isa.splat(*largest - most));
        *total = isa.mul(*total, correction);
        for mixed in &mut mixed[..vectors] {
            isa.store(isa.mul(isa.load(mixed), correction), mixed);
        }
    }
    *largest = most;
    let most = isa.splat(most);
    for (tile, shares) in shares.iter_mut().enumerate() {
        let lanes = seen.saturating_sub(tile * TILE_KEYS);
        if lanes == 0 {
            *shares = [0.0; LANES];
            continue;
        }
        let share = exp_of_negative(isa, isa.sub(isa.load(shares), most));
        let share = isa.first(lanes, share, isa.splat(0.0));
        *total = isa.add(*total, share);
        isa.store(share, shares);
    }
}

/// Adds the values of a step's keys, each by its share.
#[inline(always)]
fn mix<I: Isa, const Q: usize>(
    isa: I,
    work: &Attention<'_>,
    (start, kv_head, seen): (usize, usize, usize),
    shares: &[[[f32; LANES]; STEP]; Q],
    mixed: &mut [[[f32; LANES]; MAX_VECTORS]; Q],
) {
    let heads = work.heads;
    let stride = heads.values();
    let keys = (seen - start).min(STEP_KEYS);
    #[expect(
        clippy::needless_range_loop,
        reason = "it is the second index, for every query"
    )]
    for vector in 0..heads.padded() / LANES {
        let mut sums: [I::F; Q] = std::array::from_fn(|q| isa.load(&mixed[q][vector]));
        let at = start * stride + kv_head * heads.padded() + vector * LANES;
        let values = &work.values[at..];
        for key in 0..keys {
            let value = values[key * stride..][..LANES]
                .as_array()
                .expect("a vector");
            let value = isa.load(value);
            for q in 0..Q {
                let share = isa.splat(shares[q].as_flattened()[key]);
                sums[q] = isa.add(sums[q], isa.mul(value, share));
            }
        }
        for q in 0..Q {
            isa.store(sums[q], &mut mixed[q][vector]);
        }
    }
}
