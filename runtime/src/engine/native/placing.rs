//! Queries, keys and values on their way from a product to where attention reads them.

use super::arena::Shape;
use super::attention::TILE_KEYS;
use super::kernels::Isa;
use super::resident::Resident;

/// Rows of queries, keys and values side by side.
pub(super) struct Placing<'a> {
    pub(super) network: &'a Resident,
    /// `count` rows, `stride` values apart.
    pub(super) wide: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
    /// The number of the first row in the batch.
    pub(super) first: usize,
    pub(super) shape: Shape,
    /// The tile, among those of all sequences, with which `keys` begins.
    pub(super) tile: usize,
    /// A row for each; absent if the rows have no query.
    pub(super) queries: Option<&'a mut [f32]>,
    pub(super) keys: &'a mut [f32],
    /// A row for each.
    pub(super) values: &'a mut [f32],
}

/// Turns queries and keys by their positions, and puts everything into its place.
#[inline(always)]
pub(super) fn place<I: Isa>(_isa: I, mut work: Placing<'_>) {
    let network = work.network;
    let (heads, row, kv) = (network.heads, network.row(), network.dimensions.kv_width());
    let key_start = match work.queries {
        Some(_) => network.dimensions.hidden,
        None => 0,
    };
    let rows = work.wide.chunks_exact(work.stride).take(work.count);
    for (at, wide) in rows.enumerate() {
        let (sequence, position) = work.shape.place(work.first + at);
        if let Some(queries) = &mut work.queries {
            network.turn_query(wide, position, &mut queries[at * row..][..row]);
        }
        let tile = sequence * work.shape.tiles() + position / TILE_KEYS - work.tile;
        let keys = &mut work.keys[tile * heads.tile()..][..heads.tile()];
        let values = &mut work.values[at * heads.values()..][..heads.values()];
        let lane = position % TILE_KEYS;
        for head in 0..heads.kv_heads {
            let key = &wide[key_start + head * heads.size..][..heads.size];
            let keys = keys[head * heads.size * TILE_KEYS..].as_chunks_mut::<TILE_KEYS>();
            let keys = &mut keys.0[..heads.size];
            network.turn(key, position, 1.0, |i, x| keys[i][lane] = x);
            let value = &wide[key_start + kv + head * heads.size..][..heads.size];
            values[head * heads.padded()..][..heads.size].copy_from_slice(value);
        }
    }
}
