//! The forward pass: layer by layer, in each the keys and values of all tokens first, then the rest
//! of the layer, row by row.
//!
//! Every number of a row is computed from the row itself and from the keys and values of its own
//! sequence, in an order that its position alone decides. So rows can be divided among threads, and
//! blocks, in any way.

use super::arena::{Arena, BLOCK, Scratch, Shape};
use super::attention::{Attention, TILE_KEYS};
use super::kernels::Chosen;
use super::packed::Packed;
use super::products::{Product, Rows, Then};
use super::resident::{Layer, Resident};
use super::rounding::{Normalised, Rounded};

/// What happens to the keys and values of a layer besides attention; a stream's are kept.
pub(super) trait Cache {
    /// Puts those of earlier tokens where the layer's will be.
    fn load(&mut self, layer: usize, keys: &mut [f32], values: &mut [f32]);
    /// Takes those of all tokens.
    fn store(&mut self, layer: usize, keys: &[f32], values: &[f32]);
}

/// For batches whose keys and values are not kept.
pub(super) struct NoCache;

impl Cache for NoCache {
    fn load(&mut self, _layer: usize, _keys: &mut [f32], _values: &mut [f32]) {}
    fn store(&mut self, _layer: usize, _keys: &[f32], _values: &[f32]) {}
}

/// A forward pass of one batch.
pub(super) struct Forward<'a> {
    pub(super) network: &'a Resident,
    pub(super) kernel: Chosen,
    pub(super) shape: Shape,
}

impl Forward<'_> {
    /// Writes the logits of every sequence: `rows * categories`. The ids and the shape were
    /// checked.
    pub(super) fn run(
        &self,
        ids: &[u32],
        arena: &mut Arena,
        cache: &mut impl Cache,
        logits: &mut [f32],
    ) {
        let network = self.network;
        let row = network.row();
        arena.fit(network, self.shape);
        for (id, row) in ids.iter().zip(arena.residual.chunks_exact_mut(row)) {
            network.embed(*id, row);
        }
        for (number, layer) in network.layers.iter().enumerate() {
            cache.load(number, &mut arena.keys, &mut arena.values);
            self.project_all(layer, arena);
            cache.store(number, &arena.keys, &arena.values);
            match &layer.last_query {
                None => self.finish_all(layer, arena),
                Some(query) => self.finish_last(layer, query, arena),
            }
        }
        self.score(arena, logits);
    }

    /// Queries, keys and values of all tokens.
    fn project_all(&self, layer: &Layer, arena: &mut Arena) {
        let (network, shape) = (self.network, self.shape);
        let (row, heads) = (network.row(), network.heads);
        let (first_tile, tiles) = (shape.past / TILE_KEYS, shape.rows * shape.tiles());
        let threads = arena.scratches.len().min(tiles - first_tile);
        let residual = &arena.residual;
        let mut queries = &mut arena.queries[..];
        let mut keys = &mut arena.keys[first_tile * heads.tile()..];
        let mut values = &mut arena.values[shape.past * heads.values()..];
        let parts = arena.scratches.iter_mut().take(threads).enumerate();
        let parts = parts.map(|(thread, scratch)| {
            let cut = |thread| first_tile + (tiles - first_tile) * thread / threads;
            let (tile, end) = (cut(thread), cut(thread + 1));
            let rows = shape.first_row(tile)..match end == tiles {
                true => shape.all(),
                false => shape.first_row(end),
            };
            Projection {
                tile,
                first: rows.start,
                residual: &residual[rows.start * row..rows.end * row],
                queries: take(&mut queries, rows.len() * row),
                keys: take(&mut keys, (end - tile) * heads.tile()),
                values: take(&mut values, rows.len() * heads.values()),
                scratch,
            }
        });
        in_parallel(threads, parts, |part| self.project(layer, part));
    }

    fn project(&self, layer: &Layer, part: Projection<'_>) {
        let network = self.network;
        let (row, heads) = (network.row(), network.heads);
        let (hidden, kv) = (network.dimensions.hidden, network.dimensions.kv_width());
        let Projection {
            tile,
            first,
            residual,
            queries,
            keys,
            values,
            scratch,
        } = part;
        let matrix = &layer.attention_input;
        // The last layer's has no query.
        let has_query = layer.last_query.is_none();
        let key_start = if has_query { hidden } else { 0 };
        for (block, x) in residual.chunks(BLOCK * row).enumerate() {
            let count = x.len() / row;
            self.normalise(x, &layer.input_norm, matrix.rounds(), scratch);
            let Scratch {
                normal,
                bytes,
                scales,
                wide,
                ..
            } = &mut *scratch;
            self.multiply(
                (bytes, scales, normal, row),
                count,
                matrix,
                Then::Store,
                wide,
            );
            for (at, wide) in wide.chunks_exact(matrix.width()).take(count).enumerate() {
                let at = block * BLOCK + at;
                let (sequence, position) = self.shape.place(first + at);
                if has_query {
                    self.turn_query(wide, position, &mut queries[at * row..][..row]);
                }
                let place = sequence * self.shape.tiles() + position / TILE_KEYS - tile;
                let keys = &mut keys[place * heads.tile()..][..heads.tile()];
                let values = &mut values[at * heads.values()..][..heads.values()];
                for head in 0..heads.kv_heads {
                    let key = &wide[key_start + head * heads.size..][..heads.size];
                    let keys = &mut keys[head * heads.size * TILE_KEYS..];
                    let lane = position % TILE_KEYS;
                    network.rotate(key, position, 1.0, |i, x| keys[i * TILE_KEYS + lane] = x);
                    let value = &wide[key_start + kv + head * heads.size..][..heads.size];
                    values[head * heads.padded()..][..heads.size].copy_from_slice(value);
                }
            }
        }
    }

    /// Rotates a row's queries, and scales them for attention.
    fn turn_query(&self, wide: &[f32], position: usize, queries: &mut [f32]) {
        let size = self.network.heads.size;
        let factor = 1.0 / (size as f32).sqrt();
        let heads = wide.chunks_exact(size).zip(queries.chunks_exact_mut(size));
        for (x, query) in heads.take(self.network.heads.heads) {
            self.network
                .rotate(x, position, factor, |i, x| query[i] = x);
        }
    }

    /// The rest of a layer, for all tokens.
    fn finish_all(&self, layer: &Layer, arena: &mut Arena) {
        let row = self.network.row();
        let (all, keys, values) = (self.shape.all(), &arena.keys, &arena.values);
        let threads = arena.scratches.len().min(all);
        let mut residual = &mut arena.residual[..all * row];
        let queries = &arena.queries;
        let parts = arena.scratches.iter_mut().take(threads).enumerate();
        let parts = parts.map(|(thread, scratch)| {
            let (first, end) = (all * thread / threads, all * (thread + 1) / threads);
            Rest {
                first,
                is_last: false,
                residual: take(&mut residual, (end - first) * row),
                queries: &queries[first * row..end * row],
                keys,
                values,
                scratch,
            }
        });
        in_parallel(threads, parts, |part| self.finish(layer, part));
    }

    /// The rest of the last layer, for the last token of every sequence.
    fn finish_last(&self, layer: &Layer, query: &Packed, arena: &mut Arena) {
        let (row, shape) = (self.network.row(), self.shape);
        let Arena {
            residual,
            keys,
            values,
            last,
            last_queries,
            scratches,
            ..
        } = arena;
        let lasts = residual.chunks_exact(shape.tokens * row).take(shape.rows);
        for (last, tokens) in last.chunks_exact_mut(row).zip(lasts) {
            last.copy_from_slice(&tokens[(shape.tokens - 1) * row..]);
        }
        let scratch = &mut scratches[0];
        let last = &mut last[..shape.rows * row];
        for (x, queries) in last
            .chunks(BLOCK * row)
            .zip(last_queries.chunks_mut(BLOCK * row))
        {
            let count = x.len() / row;
            self.normalise(x, &layer.input_norm, query.rounds(), scratch);
            let Scratch {
                normal,
                bytes,
                scales,
                wide,
                ..
            } = &mut *scratch;
            self.multiply(
                (bytes, scales, normal, row),
                count,
                query,
                Then::Store,
                wide,
            );
            let rows = wide.chunks_exact(query.width()).take(count);
            for (wide, queries) in rows.zip(queries.chunks_exact_mut(row)) {
                self.turn_query(wide, shape.length() - 1, queries);
            }
        }
        let part = Rest {
            first: 0,
            is_last: true,
            residual: last,
            queries: last_queries,
            keys,
            values,
            scratch,
        };
        self.finish(layer, part);
    }

    fn finish(&self, layer: &Layer, part: Rest<'_>) {
        let network = self.network;
        let (row, inner_row) = (network.row(), network.inner_row());
        let mut first = part.first;
        let blocks = part.residual.chunks_mut(BLOCK * row);
        for (x, queries) in blocks.zip(part.queries.chunks(BLOCK * row)) {
            let count = x.len() / row;
            let scratch = &mut *part.scratch;
            let seen = (part.is_last, part.keys, part.values);
            self.attend(first, queries, count, seen, &mut scratch.mixed);
            let Scratch {
                normal,
                mixed,
                inner,
                bytes,
                scales,
                ..
            } = scratch;
            self.round(
                mixed,
                row,
                count,
                layer.attention_output.rounds(),
                bytes,
                scales,
            );
            let mixed = (&bytes[..], &scales[..], &mixed[..], row);
            self.multiply(mixed, count, &layer.attention_output, Then::Add, x);
            let rounds = layer.gate_up.rounds();
            self.normalise_into(
                x,
                &layer.post_attention_norm,
                rounds,
                normal,
                (bytes, scales),
            );
            let normal = (&bytes[..], &scales[..], &normal[..], row);
            self.multiply(normal, count, &layer.gate_up, Then::SwiGlu, inner);
            self.round(inner, inner_row, count, layer.down.rounds(), bytes, scales);
            let inner = (&bytes[..], &scales[..], &inner[..], inner_row);
            self.multiply(inner, count, &layer.down, Then::Add, x);
            first += count;
        }
    }

    /// Attention of rows, each stretch of one sequence by itself.
    fn attend(
        &self,
        first: usize,
        queries: &[f32],
        count: usize,
        (is_last, keys, values): (bool, &[f32], &[f32]),
        mixed: &mut [f32],
    ) {
        let (shape, heads, row) = (self.shape, self.network.heads, self.network.row());
        let mut at = 0;
        while at < count {
            let (sequence, position, rows) = match is_last {
                true => (first + at, shape.length() - 1, 1),
                false => {
                    let (sequence, position) = shape.place(first + at);
                    (
                        sequence,
                        position,
                        (shape.length() - position).min(count - at),
                    )
                }
            };
            let tiles = shape.tiles() * heads.tile();
            let width = shape.length() * heads.values();
            self.kernel.attend(Attention {
                heads,
                queries: &queries[at * row..],
                count: rows,
                stride: row,
                position,
                keys: &keys[sequence * tiles..][..tiles],
                values: &values[sequence * width..][..width],
                mixed: &mut mixed[at * row..],
            });
            at += rows;
        }
    }

    fn score(&self, arena: &mut Arena, logits: &mut [f32]) {
        let network = self.network;
        let (row, categories) = (network.row(), network.dimensions.categories);
        let scratch = &mut arena.scratches[0];
        let blocks = arena.last[..self.shape.rows * row].chunks(BLOCK * row);
        for (x, logits) in blocks.zip(logits.chunks_mut(BLOCK * categories)) {
            let count = x.len() / row;
            self.normalise(x, &network.norm, network.score.rounds(), scratch);
            let Scratch {
                normal,
                bytes,
                scales,
                wide,
                ..
            } = &mut *scratch;
            self.multiply(
                (bytes, scales, normal, row),
                count,
                &network.score,
                Then::Store,
                wide,
            );
            let rows = wide.chunks_exact(network.score.width());
            for (logits, row) in logits.chunks_exact_mut(categories).zip(rows) {
                logits.copy_from_slice(&row[..categories]);
            }
        }
    }

    fn normalise(&self, x: &[f32], weights: &[f32], rounds: bool, scratch: &mut Scratch) {
        let Scratch {
            normal,
            bytes,
            scales,
            ..
        } = scratch;
        self.normalise_into(x, weights, rounds, normal, (bytes, scales));
    }

    fn normalise_into(
        &self,
        x: &[f32],
        weights: &[f32],
        rounds: bool,
        normal: &mut [f32],
        (bytes, scales): (&mut [u8], &mut [f32]),
    ) {
        let dimensions = &self.network.dimensions;
        self.kernel.normalise(Normalised {
            x,
            stride: self.network.row(),
            width: dimensions.hidden,
            weights,
            epsilon: dimensions.epsilon,
            y: &mut normal[..x.len()],
            rounded: rounds.then_some((bytes, scales)),
        });
    }

    /// Rounds `count` rows, if they are to be.
    fn round(
        &self,
        x: &[f32],
        stride: usize,
        count: usize,
        rounds: bool,
        bytes: &mut [u8],
        scales: &mut [f32],
    ) {
        if rounds {
            self.kernel.round(Rounded {
                x: &x[..count * stride],
                stride,
                bytes: &mut bytes[..count * stride],
                scales: &mut scales[..count],
            });
        }
    }

    fn multiply(
        &self,
        (bytes, scales, floats, stride): (&[u8], &[f32], &[f32], usize),
        count: usize,
        matrix: &Packed,
        then: Then,
        y: &mut [f32],
    ) {
        let y_stride = match then {
            Then::Store => matrix.width(),
            Then::Add => self.network.row(),
            Then::SwiGlu => self.network.inner_row(),
        };
        self.kernel.multiply(Product {
            x: Rows {
                count,
                stride,
                bytes,
                scales,
                floats,
            },
            matrix,
            then,
            stride: y_stride,
            y,
        });
    }
}

/// Tokens whose queries, keys and values one thread makes: those of whole tiles.
struct Projection<'a> {
    /// The first tile, among those of all sequences.
    tile: usize,
    /// The first row.
    first: usize,
    residual: &'a [f32],
    queries: &'a mut [f32],
    keys: &'a mut [f32],
    values: &'a mut [f32],
    scratch: &'a mut Scratch,
}

/// Rows that one thread takes through the rest of a layer.
struct Rest<'a> {
    /// The first row; or sequence, if each has its last token here alone.
    first: usize,
    is_last: bool,
    residual: &'a mut [f32],
    queries: &'a [f32],
    /// Of all sequences, as `values`.
    keys: &'a [f32],
    values: &'a [f32],
    scratch: &'a mut Scratch,
}

/// Takes the beginning off a slice.
fn take<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    rest.split_off_mut(..length)
        .expect("parts are no longer than the whole")
}

/// Does all parts, each on a thread of its own; the last one on this thread.
fn in_parallel<P: Send>(
    threads: usize,
    mut parts: impl Iterator<Item = P>,
    work: impl Fn(P) + Sync,
) {
    if threads == 1 {
        return parts.for_each(work);
    }
    std::thread::scope(|scope| {
        let work = &work;
        for part in parts.by_ref().take(threads - 1) {
            scope.spawn(move || work(part));
        }
        parts.for_each(work);
    });
}
